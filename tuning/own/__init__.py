"""Own data: from a file, arrays, a frame or a data set to a `tuning.Task`; and answers of its winner for a file.

`making.task_from` is the one way in, `predictions.predict` the one way back. Between them, one idea a file: `reading`
(files and data sets), `examples` (what kind of question they ask), `answers` (classes or numbers), `splits`, a file
for each kind (`texts`, `tags`, `pairs`, `images`, `series`, `forecasts`) and `sizes` (how much effort the size allows).
"""

"""bAbI: questions about short stories, in 20 tasks; each question comes with the sentences that it takes to answer it.

- Source: github.com/ethancaballero/Improved-Dynamic-Memory-Networks-DMN-plus at
  406d0f033686cc06151493cba111706b6d03d43f, `data/tasks_1-20_v1-2/{en,en-10k}`, the original files of version 1.2.
- Licence: CC BY 3.0.
- Paper: Weston et al., 2015, https://arxiv.org/abs/1502.05698.
"""

import dataclasses
import re
import tarfile

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/ethancaballero/Improved-Dynamic-Memory-Networks-DMN-plus (data/tasks_1-20_v1-2)"
LICENCE = "CC BY 3.0"
#: The archive of each size, and the folder in it.
SIZES = {"1k": ("babi_v1.2_en.tar.gz", "en"), "10k": ("babi_v1.2_en-10k.tar.gz", "en-10k")}
SPLITS = ("train", "test")
TASKS = {
    1: "single supporting fact",
    2: "two supporting facts",
    3: "three supporting facts",
    4: "two argument relations",
    5: "three argument relations",
    6: "yes/no questions",
    7: "counting",
    8: "lists/sets",
    9: "simple negation",
    10: "indefinite knowledge",
    11: "basic coreference",
    12: "conjunction",
    13: "compound coreference",
    14: "time reasoning",
    15: "basic deduction",
    16: "basic induction",
    17: "positional reasoning",
    18: "size reasoning",
    19: "path finding",
    20: "agent's motivations",
}
#: No file of the archives is larger; one that is was not made by those who made the others.
LARGEST_FILE = 2**24


@dataclasses.dataclass(frozen=True)
class Question:
    """A question, the sentences told before it, the answer, and which of these sentences it takes."""

    story: tuple[str, ...]
    question: str
    #: One word, or several with commas between them.
    answer: str
    #: Indices into `story`.
    facts: tuple[int, ...]


def load(task, split, size="1k"):
    """The questions of a task.

    Args:
        task: a number of `TASKS`, 1 to 20.
        split: "train" or "test" (1,000 questions, the same for both sizes).
        size: "1k" or "10k", how many questions there are to train on. The training file of task 3 is not among those
            of 10k.

    Returns:
        A list of `Question`.
    """
    if task not in TASKS:
        raise ValueError(f"The tasks of bAbI are numbered from 1 to {len(TASKS)}. Received: task={task!r}")
    archive, folder = SIZES[choose("size of babi", size, SIZES)]
    split = choose("split of babi", split, SPLITS)
    path = files.find("babi", archive, SOURCE)
    name = re.compile(rf"{folder}/qa{task}_[\w-]+_{split}\.txt")
    return parse(_read_member(path, name, f"task {task}, {split}, {size}"))


def _read_member(path, name, what):
    """The text of the one plain file of that name: read from the archive, without writing anything to disk."""
    with tarfile.open(path, "r:gz") as archive:
        members = [member for member in archive if member.isfile() and name.fullmatch(member.name)]
        if len(members) != 1:
            raise FileNotFoundError(
                f"{path} must hold one file {name.pattern} ({what}). It holds: {[member.name for member in members]}"
            )
        if members[0].size > LARGEST_FILE:
            raise ValueError(
                f"{members[0].name} of {path} has {members[0].size} bytes, and none should have over {LARGEST_FILE}."
            )
        return archive.extractfile(members[0]).read().decode("utf-8")


def parse(text):
    """The questions of a file's text: lines `number sentence` or `number question<TAB>answer<TAB>facts`.

    Numbers start at 1 with every story and count questions too; `Question.facts` counts sentences alone, from 0.
    """
    questions, story, places = [], [], {}
    for index, line in enumerate(text.splitlines(), start=1):
        number, _, rest = line.strip().partition(" ")
        parts = [part.strip() for part in rest.split("\t")]
        if not number.isdigit() or not parts[0] or len(parts) not in (1, 3):
            raise ValueError(
                f"Line {index} must be '<number> <sentence>' or '<number> <question>TAB<answer>TAB<facts>'. "
                f"Received: {line!r}"
            )
        if int(number) == 1:
            story, places = [], {}
        if len(parts) == 1:
            places[number] = len(story)
            story.append(parts[0])
        else:
            questions.append(_question(story, places, *parts, index))
    return questions


def _question(story, places, question, answer, facts, index):
    unknown = [fact for fact in facts.split() if fact not in places]
    if unknown or not answer:
        raise ValueError(
            f"Line {index} must have an answer and facts that are sentences of its story. "
            f"Received: answer {answer!r}, facts {facts!r}"
        )
    return Question(tuple(story), question, answer, tuple(places[fact] for fact in facts.split()))

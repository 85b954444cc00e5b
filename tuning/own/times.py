"""Times: numbers, or dates in one format, which is found from a whole column and kept for predictions."""

import itertools
import warnings

#: What a column of times may be written in, beside a format of `strftime`.
NUMBERS, ISO, DAYS, MONTHS = "numbers", "ISO8601", "%Y%m%d", "%Y%m"
#: Whole numbers between these are days or months if all are such: 20260131, 202601.
WHOLE = {DAYS: (19000101, 21001231), MONTHS: (190001, 210012)}
#: From so many of the last dates it is read how they come.
RECENT = 12


def read(values, written=None):
    """Times as numbers that can be compared.

    Args:
        values: numbers, or dates.
        written: what `find` said of the column; None to find it.

    Raises:
        ValueError: if they are neither, or not written so.
    """
    written = find(values) if written is None else written
    if written == NUMBERS:
        return _as_numbers(values, written)
    return as_dates(values, written).astype("int64").to_numpy()


def find(values):
    """How times are written: `NUMBERS`, `ISO`, or a format of `strftime`.

    Raises:
        ValueError: if they are neither numbers nor dates in one format, or days and months may be exchanged.

    Example:
    >>> find(["3.1.2026", "31.1.2026"]), find([20260131, 20260201]), find([202601, 202602]), find(["9", "9.5"])
    ('%d.%m.%Y', '%Y%m%d', '%Y%m', 'numbers')
    """
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(list(values)), errors="coerce")
    if numbers.notna().all() and not pd.api.types.is_datetime64_any_dtype(pd.Series(list(values))):
        whole = (numbers == numbers.round()).all()
        fitting = [
            each for each, span in WHOLE.items() if whole and numbers.between(*span).all() and _fits(values, each)
        ]
        return fitting[0] if fitting else NUMBERS
    # What begins with the year never exchanges day and month, but pandas would do it if it is told that days are first.
    if _fits(values, ISO):
        return ISO
    fitting = [each for each in _guesses(str(next(iter(values)))) if _fits(values, each)]
    if not fitting:
        raise ValueError(
            "`time` holds numbers or dates, all in one format (best 2026-01-31 23:59). "
            f"Received: {', '.join(repr(str(value)) for value in list(values)[:3])}"
        )
    if len(fitting) > 1 and (read(values, fitting[0]) != read(values, fitting[1])).any():
        raise ValueError(
            f"`time` may have the day or the month first: {str(next(iter(values)))!r} is {fitting[0]} or {fitting[1]}. "
            "Write 2026-01-31."
        )
    return fitting[0]


def as_dates(values, written):
    """Times as a pandas series of UTC."""
    import pandas as pd

    series = pd.Series(list(values))
    if written in WHOLE and pd.api.types.is_numeric_dtype(series):
        series = series.astype("int64")
    if not pd.api.types.is_datetime64_any_dtype(series):
        series = series.map(lambda value: value if hasattr(value, "year") else str(value))
    try:
        return pd.to_datetime(series, format=written, utc=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"`time` must be dates written as {written}. Received: {error}") from None


def following(values, written, count):
    """The times that follow the last of those in order, as they are written.

    At the distance of the last two; by months, quarters or years where dates have come so: see `_by_months`.
    """
    import pandas as pd

    values = list(values)
    last = values[-2:]
    if written == NUMBERS:
        known = _as_numbers(last, written)
        return [known[-1] + (known[-1] - known[0]) * ahead for ahead in range(1, count + 1)]
    # In the zone of the last one, where days and months begin as they are written; in UTC if it has none.
    zone = pd.Timestamp(last[-1]).tzinfo if written == ISO else None
    dates = as_dates(values[-RECENT:], written).dt.tz_convert(zone or "UTC")
    found = _by_months(dates, count)
    if found is None:
        found = [dates.iloc[-1] + (dates.iloc[-1] - dates.iloc[-len(last)]) * ahead for ahead in range(1, count + 1)]
    if written != ISO:
        return [date.strftime(written) for date in found]
    return found if zone is not None else [date.tz_localize(None) for date in found]


def _by_months(dates, count):
    """The dates that follow where the last ones came by the same number of months; None where they did not.

    On the same day of the month, or all on a month's last: as January's 31st and February's 28th.
    """
    import pandas as pd

    if len(dates) < 3:
        return None
    months = {12 * (b.year - a.year) + b.month - a.month for a, b in itertools.pairwise(dates)}
    ends = all(date.is_month_end for date in dates)
    if len(months) != 1 or min(months) < 1 or not (ends or len({date.day for date in dates}) == 1):
        return None
    found = [dates.iloc[-1] + pd.DateOffset(months=min(months) * ahead) for ahead in range(1, count + 1)]
    return [date + pd.offsets.MonthEnd(0) for date in found] if ends else found


def _as_numbers(values, written):
    import pandas as pd

    try:
        return pd.to_numeric(pd.Series(list(values))).to_numpy("float64")
    except (ValueError, TypeError) as error:
        raise ValueError(f"`time` must be {written}, as in the training data. Received: {error}") from None


def _fits(values, written):
    try:
        return bool(as_dates(values, written).notna().all())
    except ValueError:
        return False


def _guesses(text):
    """Formats that a date may be written in, the month first or the day."""
    from pandas.tseries import api

    with warnings.catch_warnings():
        # That a day above 12 is no month.
        warnings.simplefilter("ignore", UserWarning)
        found = [api.guess_datetime_format(text, dayfirst=first) for first in (False, True)]
    return [each for each in dict.fromkeys(found) if each is not None]

"""Files of numbers and images, as other programs write them."""

import numpy as np
import PIL.Image
import pytest

from zoo import reading

NAN = np.nan


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"1,2\n3,4\n", [[1, 2], [3, 4]]),
        (b"a,b\n3,4\n", [[3, 4]]),
        (b"\xef\xbb\xbf1,2\n3,4\n", [[1, 2], [3, 4]]),
        (b"\xef\xbb\xbfa,b\n3,4\n", [[3, 4]]),
        (b",2\n3,\n", [[NAN, 2], [3, NAN]]),
    ],
    ids=["plain", "names", "mark", "mark and names", "empty cells"],
)
def test_every_row_of_numbers_is_read(tmp_path, content, expected):
    (tmp_path / "a.csv").write_bytes(content)
    np.testing.assert_array_equal(reading.read_numbers(tmp_path / "a.csv"), expected)


def test_a_line_of_words_and_numbers_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,1\nb,2\n")
    with pytest.raises(ValueError, match="cannot be read as numbers"):
        reading.read_numbers(tmp_path / "a.csv")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_behind_what_can_be_seen_through_stands_white(tmp_path, mode):
    image = PIL.Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 2), (0, 0, 0, 255))
    options = {"transparency": 0} if mode == "P" else {}
    if mode == "P":
        image = PIL.Image.new("P", (4, 4), 0)
        image.putpalette([10, 20, 30, 0, 0, 0])
        image.putpixel((1, 2), 1)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.png", **options)
    found = reading.read_image(tmp_path / "a.png", (4, 4, 3))
    assert found[2, 1].tolist() == [0, 0, 0] and found.sum() == 15 * 3 * 255


def test_what_is_no_image_is_refused_in_words(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match=r"'a\.png' cannot be read as an image"):
        reading.read_image(tmp_path / "a.png", (4, 4, 3))

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from keras_attn._figure import BARE
from keras_attn.inspection import pictures

S, T, H = 5, 3, 2
TOKENS = ["[CLS]", "not", "$bad$", "a_b", "\n"]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def texts(panel):
    return [text.get_text() for text in panel.texts]


def cells(panel):
    """The colours of the tokens of a strip, in their order."""
    return [to_hex(patch.get_facecolor(), keep_alpha=True) for patch in panel.patches if isinstance(patch, Rectangle)]


def channels(cell):
    return np.array([int(cell[place : place + 2], 16) for place in (1, 3, 5)])


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_strip_shows_each_token_once_in_order_and_as_it_is():
    (panel,) = pictures.draw_tokens(TOKENS, {"a $name$": normal(S)}).axes
    assert texts(panel)[0] == "a $name$"
    assert texts(panel)[3:] == ["[CLS]", "not", "$bad$", "a_b", "\\n"]
    assert not any(text.get_parse_math() for text in panel.texts[3:])


def test_of_a_short_text_names_do_not_run_into_their_scales():
    figure = pictures.draw_tokens("ab", {"sensitivity of the answer": [0.1, 12.5]})
    figure.canvas.draw()
    name, low, *_ = (text.get_window_extent() for text in figure.axes[0].texts)
    assert name.x1 < low.x0


def test_signed_numbers_are_red_below_zero_and_blue_above_and_white_at_zero():
    (panel,) = pictures.draw_tokens("abcd", [-2.0, 0.0, 1.0, 2.0]).axes
    colours = [channels(cell) for cell in cells(panel)]
    red, white, pale, blue = colours
    assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0]
    assert min(white) > 240
    assert sum(blue) < sum(pale) < sum(white)
    assert panel.images[0].get_clim() == (-2.0, 2.0)


def test_numbers_that_are_not_negative_go_from_white_at_zero_to_the_same_blue():
    (panel,) = pictures.draw_tokens("abc", [0.0, 0.5, 1.0]).axes
    assert panel.images[0].get_clim() == (0.0, 1.0)
    signed = pictures.draw_tokens("abc", [0.0, -0.5, 1.0]).axes[0]
    ends = [channels(cells(each)[2]) for each in (panel, signed)]
    assert np.abs(ends[0] - ends[1]).max() < 32 and ends[0].argmax() == ends[1].argmax() == 2


def test_each_strip_has_a_scale_of_its_own_unless_one_is_given():
    maps = {"small": [0.0, 0.1], "large": [0.0, 10.0]}
    small, large = pictures.draw_tokens("ab", maps).axes
    assert cells(small) == cells(large)
    assert "0.1" in texts(small) and "10" in texts(large)
    small, large = pictures.draw_tokens("ab", maps, limit=10.0).axes
    assert cells(small)[1] != cells(large)[1]


def test_letters_can_be_read_on_dark_and_on_light():
    (panel,) = pictures.draw_tokens("ab", [0.0, 1.0]).axes
    assert [text.get_color() for text in panel.texts[-2:]] == ["black", "white"]


def test_padding_is_left_blank_whatever_stands_there():
    values = np.array([0.5, 1.0, np.nan, 1e9, np.inf], dtype="float32")
    (panel,) = pictures.draw_tokens(TOKENS, values, mask=[True, True, False, False, False]).axes
    assert [cell[-2:] for cell in cells(panel)] == ["ff", "ff", "00", "00", "00"]
    assert panel.images[0].get_clim() == (0.0, 1.0)

    maps = np.full((H, S, S), np.nan, dtype="float32")
    maps[:, :2, :2] = 0.5
    panels = pictures.draw_matrices(maps, TOKENS, mask=[True, True, False, False, False]).axes[:H]
    for panel in panels:
        shown = panel.images[0].get_array()
        assert shown.mask.sum() == S * S - 4 and not shown.mask[:2, :2].any()
        assert to_hex(panel.get_facecolor()) == BARE

    figure = pictures.draw_series(normal(7), {"map": [0.5, np.nan]}, mask=[True, False])
    assert figure.axes[0].images[0].get_array().mask.tolist() == [[False, True]]


def test_lines_go_straight_over_what_is_missing():
    values = np.array([[1.0, np.nan, 3.0, 4.0], [2.0] * 4, [np.nan] * 4]).T
    (panel, _) = pictures.draw_series(values, np.ones(2)).axes
    assert [line.get_xydata().tolist() for line in panel.lines[:1]] == [[[0.0, 1.0], [2.0, 3.0], [3.0, 4.0]]]
    assert [(len(line.get_xdata()), line.get_marker()) for line in panel.lines] == [(3, "."), (4, ""), (0, ".")]


def test_of_many_channels_none_is_named():
    assert pictures.draw_series(normal(5, 24), np.ones(5)).legends
    assert not pictures.draw_series(normal(5, 25), np.ones(5)).legends


def test_of_a_map_that_is_not_square_only_the_columns_are_padding():
    (panel, _) = pictures.draw_matrices(np.ones((T, S)), mask=[True] * 2 + [False] * 3).axes
    assert panel.images[0].get_array().mask.tolist() == [[False, False, True, True, True]] * T


def test_what_is_all_padding_can_be_drawn():
    (panel,) = pictures.draw_tokens("ab", [np.nan, np.nan], mask=[False, False]).axes
    assert [cell[-2:] for cell in cells(panel)] == ["00", "00"]


def test_long_texts_go_on_in_new_lines_in_which_no_tokens_overlap():
    count = 211
    figure = pictures.draw_tokens([f"word{place}" for place in range(count)], np.ones(count))
    (panel,) = figure.axes
    places = [(patch.get_y(), patch.get_x(), patch.get_width()) for patch in panel.patches]
    assert len(places) == count and places == sorted(places)
    for (line, start, width), (next_line, next_start, _) in itertools.pairwise(places):
        assert next_line > line or start + width <= next_start
    letters = max(start + width for _, start, width in places)
    # An inch for no more than ten letters, and a quarter of one for each line.
    assert figure.get_figwidth() >= letters / 10
    assert figure.get_figheight() >= 0.25 * len({line for line, _, _ in places})


def test_a_label_that_never_ends_is_cut():
    (panel,) = pictures.draw_tokens(["x" * 999, "y"], [1.0, 0.5]).axes
    assert texts(panel)[-2] == "x" * 39 + "…"


def test_matrices_have_rows_that_look_and_columns_that_are_looked_at():
    maps = np.abs(normal(H, T, S))
    first, second, _ = pictures.draw_matrices({"layer": maps}, outputs="uvw", inputs=TOKENS).axes
    for panel, expected in zip((first, second), maps):
        np.testing.assert_array_equal(panel.images[0].get_array(), expected)
        assert panel.images[0].get_clim() == (0.0, maps.max())
    assert [panel.get_title() for panel in (first, second)] == ["layer, head 0", "layer, head 1"]
    assert labels(first.yaxis) == list("uvw") and labels(first.xaxis) == ["[CLS]", "not", "$bad$", "a_b", "\\n"]
    assert (first.get_ylabel(), first.get_xlabel()) == ("position that looks", "position looked at")
    assert second.get_ylabel() == "" and second.get_xlabel() == "position looked at"
    assert first.yaxis_inverted()


def test_layers_stand_below_each_other_and_heads_beside():
    maps = {"one": np.ones((3, S, S)), "two": np.ones((2, S, S)), "three": np.ones((1, S, S))}
    panels = pictures.draw_matrices(maps, TOKENS).axes[:-1]
    assert [panel.get_title() for panel in panels] == [
        *("one, head 0", "one, head 1", "one, head 2"),
        *("two, head 0", "two, head 1"),
        "three",
    ]
    places = [panel.get_subplotspec() for panel in panels]
    rows, columns = ([getattr(place, side).start for place in places] for side in ("rowspan", "colspan"))
    assert rows == [0, 0, 0, 1, 1, 2] and columns == [0, 1, 2, 0, 1, 0]
    # Who has none below has the labels.
    assert [panel.get_xlabel() != "" for panel in panels] == [False, False, True, False, True, True]


def test_layers_of_one_head_fill_rows():
    panels = pictures.draw_matrices({str(layer): np.ones((S, S)) for layer in range(7)}).axes[:-1]
    assert [panel.get_subplotspec().rowspan.start for panel in panels] == [0] * 4 + [1] * 3


def test_the_title_of_a_panel_alone_is_whole_however_few_columns_there_are():
    figure = pictures.draw_matrices({"weights of the reader of layer 0": np.ones((2, 3))})
    assert figure.axes[0].get_title() == "weights of the reader of layer 0"


def test_titles_of_panels_side_by_side_do_not_meet():
    figure = pictures.draw_matrices({"a_block_of_the_model/its_own_attention": np.ones((H, S, S))})
    assert figure.axes[1].get_title().split("\n")[1] == "head 1"
    figure.canvas.draw()
    one, other = (panel.title.get_window_extent() for panel in figure.axes[:2])
    assert one.x1 < other.x0


def test_of_many_labels_so_many_are_shown_as_there_is_room_for():
    count = 131
    figure = pictures.draw_matrices(np.ones((count, count)), [f"token{place}" for place in range(count)])
    shown = labels(figure.axes[0].xaxis)
    assert 10 < len(shown) < 40 and shown[:2] == ["token0", f"token{count // len(shown) + 1}"]
    assert figure.get_figwidth() < 12


def test_maps_lie_over_the_part_of_the_image_that_they_are_about():
    image, values = normal(8, 12, 3), np.arange(6.0)
    alone, over, _ = pictures.draw_on_image(image, {"weights": values}).axes
    assert alone.get_title() == "image" and over.get_title() == "weights"
    under, shown = over.images
    assert under.get_array().shape == (8, 12)
    np.testing.assert_array_equal(shown.get_array(), values.reshape(2, 3))
    assert shown.get_extent() == [-0.5, 11.5, 7.5, -0.5]
    assert shown.get_interpolation() == "nearest"
    # Where nothing is, the image shows through.
    assert shown.get_alpha()[0, 0] == 0.0 and shown.get_alpha()[-1, -1] == np.float32(0.85)


def test_a_series_is_drawn_over_its_map_each_number_over_its_share_of_the_time():
    values = normal(12, 2)
    panel = pictures.draw_series(values, {"w": [0.1, 0.7, 0.2]}, ["a", "_b"], marks=[5]).axes[0]
    np.testing.assert_array_equal(panel.lines[1].get_ydata(), values[:, 1])
    (shade,) = panel.images
    assert shade.get_extent()[:2] == [-0.5, 11.5] and shade.get_array().shape == (1, 3)
    assert panel.lines[2].get_xdata().tolist() == [5]
    assert panel.get_xlabel() == "time step"


def test_a_channel_beside_one_a_hundred_times_as_large_is_no_flat_line():
    values = np.stack([np.arange(12.0), 100 * np.arange(12.0)[::-1], np.full(12, 7.0)], axis=1)
    panel = pictures.draw_series(values, {"w": np.ones(3)}).axes[0]
    small, large, still = (line.get_ydata() for line in panel.lines)
    np.testing.assert_allclose(small, np.linspace(0, 1, 12))
    np.testing.assert_allclose(large, np.linspace(1, 0, 12))
    assert np.ptp(still) == 0 and panel.get_ylabel() == "share of range"
    assert pictures.draw_series(values[:, :1], {"w": np.ones(3)}).axes[0].get_ylabel() == "value"


def test_the_legend_names_channels_that_begin_with_an_underscore_too():
    figure = pictures.draw_series(normal(12, 2), {"w": np.ones(3)}, ["a", "_b"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "_b"]


def test_pictures_of_several_kinds_stand_in_one_figure():
    parts = [pictures.tokens_drawing(TOKENS, normal(S)), pictures.matrices_drawing(np.ones((S, S)), TOKENS)]
    figure = pictures.draw_together(parts, title="$x")
    assert len(figure.subfigs) == 2 and figure.get_suptitle() == "$x"
    assert figure.get_figheight() == pytest.approx(sum(part.height for part in parts) + 0.4)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_picture_gives_the_same_file(tmp_path, ending):
    for name in "ab":
        pictures.draw_tokens(TOKENS[:4], np.arange(4.0), path=tmp_path / f"{name}.{ending}")
    one, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
    assert one == other and len(one) > 1000


def test_drawing_changes_nothing_outside_the_figure(tmp_path):
    before = dict(matplotlib.rcParams)
    pictures.draw_matrices(np.ones((T, S)), path=tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
    # pyplot, which asks for a screen and keeps figures, knows of none.
    assert pyplot.get_fignums() == []


def test_tensors_of_a_backend_can_be_drawn():
    from keras import ops

    (panel,) = pictures.draw_tokens("ab", ops.convert_to_tensor([0.5, 1.0]), mask=ops.array([True, False])).axes
    assert [cell[-2:] for cell in cells(panel)] == ["ff", "00"]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: pictures.draw_tokens("abc", np.ones(S)), r"must be 5 `tokens`. Received: 3"),
        (lambda: pictures.draw_tokens("ab", {"a": [1, 2], "b": [1]}), r"Each map must have 2 numbers.*1 in 'b'"),
        (lambda: pictures.draw_tokens("ab", [1.0, np.nan]), "must be finite"),
        (lambda: pictures.draw_tokens("ab", {}), "one map or more"),
        (lambda: pictures.draw_tokens("ab", [1, 2], limit=0.0), r"above 0 or None. Received: limit=0.0"),
        (lambda: pictures.draw_tokens("ab", [1, 2], mask=[True]), r"mask of shape \(1,\) for the shape \(2,\)"),
        (lambda: pictures.draw_matrices(np.ones(S)), r"2 or 3 axes.*\(5,\)"),
        (lambda: pictures.draw_matrices({"a": np.ones((T, S)), "b": np.ones((S, S))}), r"is \(3, 5\).*'b'.*\(5, 5\)"),
        (lambda: pictures.draw_on_image(np.ones((8, 12)), np.ones(7)), "say in `grid`"),
        (lambda: pictures.draw_on_image(np.ones((8, 12)), np.ones(6), grid=(4, 2)), r"\(rows, columns\) of 6"),
        (lambda: pictures.draw_on_image(np.ones((8, 12, 4)), np.ones(6)), "one channel or three"),
        (lambda: pictures.draw_series([np.nan] * 3, np.ones(3)), "not missing. Received: NaN only"),
        (lambda: pictures.draw_series([np.nan, np.inf], np.ones(2)), "must be finite"),
        (lambda: pictures.draw_series(np.ones(3), np.ones(5)), "at most so many numbers. Received: 5"),
        (lambda: pictures.draw_series(np.ones(3), np.ones(3), marks=[3]), r"times in \[0, 3\)"),
        (lambda: pictures.draw_together([]), "one drawing or more"),
        (lambda: pictures.draw_tokens("ab", [1, 2], path="a.jpeg"), r".png, .svg, .pdf. Received: 'a.jpeg'"),
        (lambda: pictures.draw_tokens("ab", [1, 2], path="no/such/a.png"), "no folder 'no/such'"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        draw()


def test_channels_of_one_name_and_one_that_is_called_mark_are_all_in_the_legend():
    figure = pictures.draw_series(
        normal(12, 3), {"w": np.ones(3), "v": np.ones(3)}, ["lead", "lead", "mark"], marks=[3]
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["lead", "lead", "mark", "mark"]

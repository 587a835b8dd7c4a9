import itertools
import sys

import plotly.graph_objects as go
import pytest
import torch

from rlhub.core.errors import UserError
from rlhub.core.style import DIVERGING, NEGATIVE, NEUTRAL, POSITIVE, colour_of, write_html, write_images
from rlhub.lens.compare import against_null, top_edges
from rlhub.lens.figures.circuit import circuit_change_figure, circuit_figure
from rlhub.lens.figures.curves import Curve, accuracy_against_kl_figure, faithfulness_figure, null_figure, similarity_figure
from rlhub.lens.figures.maps import head_change_maps, head_map, readable, token_change_maps, token_map
from rlhub.lens.figures.weights import change_norm_figure, rank_figure, sparsity_figure, spectra_figure
from rlhub.lens.graph import Graph
from rlhub.lens.spectra import weight_change_spectra
from rlhub.lens.weights import update_sparsity, weight_change

GRAPH = Graph(layers=3, heads=4, kv_heads=2)
CURVE = Curve(x=[0.01, 0.1, 1.0], y=[0.2, 0.7, 1.0], intervals=[(0.1, 0.3), (0.6, 0.8), (1.0, 1.0)])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if isinstance(trace, go.Heatmap)]


def test_positive_is_blue_negative_red_and_nothing_is_in_the_middle():
    colours = dict(DIVERGING)
    assert colours[0.5] == NEUTRAL and colours[0.9] == POSITIVE and colours[0.1] == NEGATIVE
    (trace,) = maps(head_map(normal(3, 4), title="heads", unit="logits"))
    assert trace.zmin == -trace.zmax


def test_a_signal_has_the_same_colour_in_every_figure_whatever_its_place():
    assert colour_of("grpo seed 1", 5) == colour_of("grpo", 0) == colour_of("runs/GRPO-2", 3)
    assert colour_of("grpo-random", 0) == colour_of("random reward", 4) != colour_of("grpo", 0)
    arms = ("base", "SFT", "DPO", "PPO", "RLOO", "GRPO", "process rewards", "R1 seed 1", "Constitutional AI", "random reward")
    assert len({colour_of(name, 0) for name in arms}) == len(arms)


def test_before_and_after_share_their_colours_and_the_difference_has_its_own():
    before, after = normal(3, 4), normal(3, 4) + 0.1 * normal(3, 4, seed=1)
    first, second, difference = maps(head_change_maps({"base": before, "grpo": after}, title="heads", unit="logits"))
    assert (first.zmin, first.zmax) == (second.zmin, second.zmax)
    assert difference.zmax == pytest.approx(float((after - before).abs().max()))
    torch.testing.assert_close(torch.tensor(difference.z), after - before)


def test_an_arm_that_changed_nothing_does_not_stretch_the_colours_of_those_that_did():
    before, after = normal(3, 4), normal(3, 4) + 0.001
    drawn = maps(head_change_maps({"base": before, "sft": after, "random": before}, title="heads", unit="logits"))
    assert [trace.zmax for trace in drawn[3:]] == pytest.approx([0.001, 0.001], rel=1e-2)


def test_cells_that_are_not_there_leave_the_colours_of_the_others_alone():
    values = normal(3, 4)
    values[0, 0] = torch.nan
    (trace,) = maps(token_map(values, [" a", " b", " a", "\n"], title="tokens", unit="logits"))
    assert trace.zmax == pytest.approx(float(values.nan_to_num().abs().max()))


def test_repeated_tokens_stay_apart_on_the_axis():
    assert readable([" is", "is", "\n", "  "]) == ["is (0)", "is (1)", "↵", "␣"]
    drawn = token_change_maps({"base": normal(3, 3), "sft": normal(3, 3, seed=1)}, ["a", "a", "b"], title="tokens", unit="logits")
    assert drawn.layout.xaxis.ticktext == ("a (0)", "a (1)", "b")


def test_faithfulness_is_drawn_on_a_logarithmic_axis_with_its_band():
    figure = faithfulness_figure({"base": CURVE, "grpo": CURVE}, edges=1000)
    assert figure.layout.xaxis.type == "log"
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 2
    assert list(bands[0].y) == [0.3, 0.8, 1.0, 1.0, 0.6, 0.1]


def test_accuracy_against_kl_carries_both_intervals():
    path = Curve(x=[0.0, 0.1], y=[20.0, 50.0], intervals=[(15, 25), (44, 55)], x_intervals=[(0, 0), (0.08, 0.13)], labels=["0", "10"])
    (trace,) = accuracy_against_kl_figure({"sft": path}, x_unit="nats", y_unit="%").data
    assert tuple(trace.error_y.array) == (5, 5) and tuple(trace.error_y.arrayminus) == (5, 6)
    assert tuple(trace.error_x.array) == pytest.approx((0, 0.03))


def test_values_stand_beside_their_nulls_and_without_one_alone():
    compared = {"sft": against_null(0.2, torch.linspace(0.4, 0.6, 50), interval=(0.1, 0.3)), "dpo": against_null(0.5, [])}
    bars = [trace for trace in null_figure(compared, title="edges", unit="Jaccard").data if isinstance(trace, go.Bar)]
    assert [bar.y for bar in bars] == [("sft",)]
    assert bars[0].base[0] == pytest.approx(compared["sft"].null_interval[0])


def test_similarity_is_drawn_over_its_null():
    figure = similarity_figure({"sft": CURVE}, null=CURVE, places=["resid.0", "resid.1", "resid.2"])
    assert [trace.name for trace in figure.data if trace.name] == ["null", "sft"]


@pytest.fixture(scope="module")
def changes():
    before = {f"model.layers.{layer}.{name}.weight": normal(12, 20) for layer in range(3) for name in ("self_attn.q_proj", "mlp.up_proj")}
    after = {name: weight + 0.01 * normal(12, 20, seed=1) for name, weight in before.items()}
    return before, after


def test_weight_figures_show_every_run(changes):
    norms, spectra = weight_change(*changes), weight_change_spectra(*changes)
    for figure in (
        change_norm_figure({"sft": norms, "dpo": norms}),
        sparsity_figure({"sft": update_sparsity(norms), "dpo": update_sparsity(norms)}),
        spectra_figure({"sft": spectra, "dpo": spectra}),
        rank_figure({"sft": spectra, "dpo": spectra}),
    ):
        assert {"sft", "dpo"} <= {trace.name for trace in figure.data}


def test_spectra_of_a_run_that_changed_nothing_are_left_out(changes):
    before, _ = changes
    figure = spectra_figure({"random": weight_change_spectra(before, before)})
    assert not figure.data


def circuit(seed: int = 0, size: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    scores = normal(*GRAPH.exists.shape, seed=seed) * GRAPH.exists
    return scores, GRAPH.prune(top_edges(scores, GRAPH.exists, size))


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_circuit_runs_from_the_input_to_the_logits_and_is_no_larger_than_asked(seed):
    scores, mask = circuit(seed)
    figure = circuit_figure(GRAPH.sources, GRAPH.destinations, scores, mask=mask, title="circuit", unit="logits", edges=25)
    hovers = [trace.text[0] for trace in figure.data if trace.text]
    assert 0 < len(hovers) <= 25
    drawn = torch.zeros_like(mask)
    for text in hovers:
        drawn[GRAPH.index(text.split(":")[0].replace(" → ", "->"))] = True
    assert GRAPH.prune(drawn).equal(drawn)
    assert {"<b>input</b>", "<b>logits</b>"} <= {note.text for note in figure.layout.annotations}


def test_the_slider_prunes_to_whole_paths_within_those_of_the_next_stage():
    scores, mask = circuit(1, 80)
    figure = circuit_figure(GRAPH.sources, GRAPH.destinations, scores, mask=mask, title="circuit", unit="logits", edges=60, slider=True)
    stages = []
    for step in figure.layout.sliders[0].steps:
        shown = {trace.text[0] for trace, seen in zip(figure.data, step.args[0]["visible"], strict=True) if seen and trace.text}
        there = step.args[1]
        nodes = {note.text for place, note in enumerate(figure.layout.annotations) if there[f"annotations[{place}].visible"]}
        assert str(len(shown)) == step.label
        assert {"<b>input</b>", "<b>logits</b>"} <= nodes
        stages.append(shown)
    assert len(stages) > 1 and all(fewer < more for fewer, more in itertools.pairwise(stages))


def test_nodes_of_a_circuit_never_share_a_place():
    scores, mask = circuit(1, 100)
    figure = circuit_figure(GRAPH.sources, GRAPH.destinations, scores, mask=mask, title="circuit", unit="logits", edges=100)
    places = [(round(note.x, 3), note.y) for note in figure.layout.annotations]
    assert len(set(places)) == len(places)


def test_what_changed_is_drawn_even_where_what_stayed_is_stronger():
    (before, before_mask), (after, after_mask) = circuit(0), circuit(1)
    both, gained, lost = before_mask & after_mask, after_mask & ~before_mask, before_mask & ~after_mask
    before, after = before.where(~both, 50 * before), after.where(~both, 50 * after)
    figure = circuit_change_figure(
        GRAPH.sources,
        GRAPH.destinations,
        before,
        after,
        before_mask=before_mask,
        after_mask=after_mask,
        title="circuits",
        unit="logits",
        edges=20,
    )
    title = figure.layout.title.text
    assert f"{int(gained.sum())} edges gained" in title and f"{int(lost.sum())} edges lost" in title
    assert f"{min(5, int(gained.sum()))} gained" in title.partition("drawn")[2]
    assert {trace.name for trace in figure.data if trace.name} == {"in both", "gained", "lost"}
    texts = {trace.text[0] for trace in figure.data if trace.text}
    assert sum(", gained:" in text for text in texts) == min(5, int(gained.sum()))


def test_a_circuit_without_edges_is_refused():
    nothing = torch.zeros_like(GRAPH.exists)
    with pytest.raises(UserError, match="no edges"):
        circuit_figure(GRAPH.sources, GRAPH.destinations, nothing.float(), mask=nothing, title="circuit", unit="logits")


def test_a_page_opens_without_a_network(tmp_path):
    page = write_html(head_map(normal(3, 4), title="heads", unit="logits"), tmp_path / "figure.html").read_text(encoding="utf-8")
    assert "Plotly.newPlot" in page and '<script src="http' not in page


def test_pictures_without_kaleido_are_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(UserError, match=r"pip install 'rlhub\[figures\]'"):
        write_images({tmp_path / "a.png": head_map(normal(3, 4), title="heads", unit="logits")})


def test_runs_of_a_kind_share_a_look_and_a_place_in_the_legend():
    kinds = {"sft seed 0": "sft", "sft seed 1": "sft", "dpo seed 0": "dpo"}
    drawn = accuracy_against_kl_figure(dict.fromkeys(kinds, CURVE), x_unit="nats", y_unit="%", kinds=kinds).data
    assert [trace.name for trace in drawn if trace.showlegend] == ["sft", "dpo"]
    first, second, other = ((trace.line.color, trace.marker.symbol) for trace in drawn)
    assert first == second != other


def test_only_the_bands_that_are_asked_for_are_drawn():
    figure = faithfulness_figure(dict.fromkeys(("base", "sft", "dpo"), CURVE), banded=["base"])
    assert [trace.legendgroup for trace in figure.data if trace.fill == "toself"] == ["base"]


def test_figures_that_stand_beside_each_other_share_their_colours():
    before = normal(3, 4)
    moved = {"base": before, "sft": before + 1.0, "dpo": before + 0.1}
    scales = [[trace.zmax for trace in maps(head_change_maps(moved, title="heads", unit="logits", shown=[arm]))] for arm in ("sft", "dpo")]
    assert scales[0] == scales[1]

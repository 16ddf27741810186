from __future__ import annotations

import json

from tellapart.evaluation.answers import Answers
from tellapart.evaluation.continuity import compare_classes


def answers(*rows: tuple[str, str, str]) -> Answers:
    """Of (sha256, label, predicted)."""
    digests, labels, predicted = zip(*rows, strict=True) if rows else ((), (), ())
    return Answers(digests, labels, predicted, (0.9,) * len(rows), (0.9,) * len(rows))


def of_class(label: str, n: int, n_right: int, *, first: int = 0) -> list[tuple[str, str, str]]:
    return [(f"{label}{first + i}", label, label if i < n_right else "other") for i in range(n)]


def test_old_classes_are_compared_on_the_same_pictures() -> None:
    before = answers(*of_class("cat", 20, 20), *of_class("dog", 20, 18), *of_class("cow", 5, 5))
    after = answers(*of_class("cat", 20, 8), *of_class("dog", 20, 19), *of_class("owl", 9, 9), ("new", "dog", "cat"))
    found = compare_classes(before, after)
    assert [(one.label, one.n, one.before, one.after) for one in found.classes] == [("cat", 20, 1, 0.4), ("dog", 20, 0.9, 0.95)]
    assert (found.overall.n, found.before, found.after) == (40, 38 / 40, 27 / 40)
    assert (found.added, found.gone) == (("owl",), ("cow",))
    assert [one.label for one in found.lost] == ["cat"]
    assert found.text().splitlines() == [
        "before and after, on 40 pictures that both runs held back: 95.0 % before, 67.5 % after (more than noise, p = 0.0034)",
        "  cat  100.0 % ->  40.0 %  n = 20  worse by more than noise, p = 0.00098",
        "  dog   90.0 % ->  95.0 %  n = 20",
        "new since: owl",
        "no longer there: cow",
    ]


def test_p_values_of_many_classes_are_raised() -> None:
    one = compare_classes(answers(*of_class("cat", 10, 10)), answers(*of_class("cat", 10, 3)))
    assert one.lost
    names = [f"c{i}" for i in range(20)]
    before = [row for name in names for row in of_class(name, 10, 10)]
    after = [row for name in names for row in of_class(name, 10, 3 if name == "c0" else 10)]
    many = compare_classes(answers(*before), answers(*after))
    assert (many.classes[0].label, many.classes[0].difference.n_lost) == ("c0", 7)
    assert not many.lost


def test_a_relabelled_picture_is_not_compared() -> None:
    found = compare_classes(answers(("a", "cat", "cat"), ("b", "cat", "cat")), answers(("a", "dog", "dog"), ("b", "cat", "cat")))
    assert found.overall.n == 1


def test_nothing_in_common_is_said() -> None:
    found = compare_classes(answers(("a", "cat", "cat")), answers(("b", "cat", "cat")))
    assert (found.before, found.after, found.overall.n, found.classes) == (None, None, 0, ())
    assert found.text() == "before and after: no picture was held back by both runs, so nothing can be compared"


def test_many_classes_are_cut_short() -> None:
    rows = [row for i in range(25) for row in of_class(f"c{i:02}", 2, 2)]
    found = compare_classes(answers(*rows), answers(*rows))
    assert found.text().splitlines()[-1] == "  and 5 more classes that lost less"
    assert len(found.to_json()["classes"]) == 25


def test_json_holds_plain_values() -> None:
    found = compare_classes(answers(*of_class("cat", 4, 4)), answers(*of_class("cat", 4, 3)))
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["classes"]["cat"] == {"n": 4, "accuracy_before": 1, "accuracy_after": 0.75, "p_value": 1, "is_noise": True}
    assert (value["difference"], value["is_noise"], value["n"]) == (-0.25, True, 4)

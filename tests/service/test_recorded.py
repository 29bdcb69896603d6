"""What a real Koji hub said and answered (fixtures/koji.json says how it was recorded).

Intake's decisions on its messages, Koji's answers read, and the tests' own hub held to both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import koji
import pytest
from fedora_messaging.message import get_class
from koji import xmlrpcplus

from service import koji as ours
from service.config import load
from service.consumer import TOPIC, NotTaken, decide
from service.kinds import why
from tests.hub import SHA, Hub

RECORDED = json.loads(Path(__file__).with_name("fixtures").joinpath("koji.json").read_text())
BUILDS: dict[str, Any] = RECORDED["builds"]
PACKAGES = load(None).packages


@pytest.mark.parametrize(
    ("kind", "decision"),
    [
        ("ordinary", ("kernel-6.12.8-200.fc41", SHA, "f41-candidate")),
        ("branch in the request", ("kernel-6.13.0-1.fc43", None, "rawhide")),
        ("epoch", ("kernel-6.13.1-1.fc43", SHA, "rawhide")),
        ("no target", ("kernel-6.12.9-200.fc41", SHA, None)),
        ("failed, then built", ("kernel-6.12.11-200.fc41", SHA, "f41-candidate")),
        ("tilde", ("kernel-6.15.0~rc1-1.fc43", SHA, "rawhide")),
        ("imported", ("kernel-2.6.9-1.fc3", None, None)),
        ("empty", ("kernel-2.6.10-1.fc3", None, None)),
        ("ELN", why("ELN, EPEL, RHEL, any other dist", ".eln145")),
        ("draft", why("draft")),
        ("uploaded source package", why("uploaded source package")),
        ("cancelled", "not a finished build of a configured package"),
    ],
)
def test_intake_decides_on_real_messages(kind: str, decision: object) -> None:
    message = BUILDS[kind]["message"]
    schema = get_class(message["headers"]["fedora_messaging_schema"])
    schema(body=message["body"]).validate()
    assert TOPIC.fullmatch(message["topic"])
    made = decide(message["body"], PACKAGES)
    if isinstance(made, NotTaken):
        assert made.why == decision
    else:
        assert (made.nvr, made.commit, made.target) == decision


def test_the_message_of_a_promotion_names_no_build() -> None:
    message = BUILDS["promoted"]["message"]
    assert not TOPIC.fullmatch(message["topic"])
    assert set(message["body"]) == {"base_url", "instance"}


@pytest.mark.parametrize("kind", [kind for kind in BUILDS if kind != "promoted"])
def test_the_tests_hub_says_and_answers_what_a_real_one_does(kind: str) -> None:
    real = BUILDS[kind]
    answer, request = real["getBuild"], real["getTaskRequest"]
    without: dict[str, Any] = {} if request else {"task_id": None}
    with Hub() as hub:
        build = hub.add(
            answer["nvr"],
            source=answer["source"],
            request=request,
            state=answer["state"],
            **without,
            epoch=answer["epoch"],
            draft=answer["draft"],
        )
        mine = hub.message(build)
        session = koji.ClientSession(hub.url)
        assert shape(session.getBuild(answer["nvr"])) == shape(answer)
        [listed] = session.listBuilds(packageID="kernel", queryOpts={"order": "build_id"})
    assert set(listed) == set(RECORDED["listBuilds"][0])
    told = real["message"]["body"]
    assert shape(mine) == shape(told)
    for field in ("name", "version", "release", "epoch", "old", "new", "request", "attribute"):
        assert mine[field] == told[field], field


@pytest.mark.parametrize("what", RECORDED["faults"])
def test_the_tests_hub_breaks_as_a_real_one_does(what: str) -> None:
    calls: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
        "a hub that broke inside": ("listBuilds", (), {"queryOpts": {"order": "nosuch"}}),
        "no such task": ("getTaskRequest", (999,), {}),
        "no such method": ("nosuch", (), {}),
        "no name-version-release": ("getBuild", ("nodash",), {}),
    }
    name, args, options = calls[what]
    with Hub() as hub:
        hub.add("kernel-6.12.8-200.fc41")
        params = koji.encode_args(*args, **options)
        _, answer = hub._respond(xmlrpcplus.dumps(params, name).encode())
    parser, unmarshaller = xmlrpcplus.getparser()
    parser.feed(answer)
    with pytest.raises(Fault) as caught:
        parser.close(), unmarshaller.close()
    recorded = RECORDED["faults"][what]
    assert (caught.value.faultCode, caught.value.faultString) == (
        recorded["code"],
        recorded["text"],
    )


def test_a_task_that_is_gone_is_known_by_the_words_of_a_real_hub() -> None:
    assert RECORDED["faults"]["no such task"]["text"] == ours._GONE


def test_a_real_answer_is_read() -> None:
    build = ours._with_request(BUILDS["epoch"]["getBuild"], BUILDS["epoch"]["getTaskRequest"])
    assert (build.nvr, build.epoch, build.commit) == ("kernel-6.13.1-1.fc43", 2, SHA)
    assert (build.target, build.owner, build.draft) == ("rawhide", "jforbes", False)
    assert build.completed is not None and build.completed.year == 2026
    imported = ours._build(BUILDS["imported"]["getBuild"])
    assert (imported.source, imported.commit, imported.task) == (None, None, None)


def shape(value: object) -> object:
    """Return the fields and the kinds of their values; a list is its first element's."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "number" if type(value) in (int, float) else type(value)

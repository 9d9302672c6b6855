"""Files and YAML texts that are no inventory, each refused at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_text import HOSTS, cluster, loaded, mistakes, only

from kprov.inventory import load
from kprov.values.errors import InventoryError


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "1:1", "the inventory is empty"),
        ("# nothing\n---\n", "1:1", "the inventory is empty"),
        ("{}\n", "1:1", "the inventory is empty"),
        ("- a\n", "1:1", "not an inventory"),
        ("just words\n", "1:1", "not an inventory"),
        ("cluster:\n  name: a\n---\nhosts: {}\n", "3:1", "a second document"),
        ("cluster:\n\tname: a\n", "2:1", "a tab in the indentation"),
        ("cluster:\n  name: a\n  \tdomain: b\n", "3:3", "a tab in the indentation"),
        ("cluster: {name: a\nhosts: [\n", "2:6", "not valid YAML"),
        ("cluster:\n  name: 'a\n", "3:1", "not valid YAML"),
        ("cluster:\n  name: a\x07b\n", "2:10", "character U+0007"),
        ("a: *b\n", "1:4", "an alias ('*…') without a finished anchor"),
        ("a: &b [*b]\n", "1:8", "an alias ('*…') without a finished anchor"),
        ("? [a]\n: b\n", "1:3", "a key must be plain text"),
        ("a: " + "[" * 22 + "]" * 22 + "\n", "1:24", "nested too deeply"),
        ("a: &a " + "[" * 12 + "]" * 12 + "\nb: " + "[" * 12 + "*a" + "]" * 12 + "\n", "2:16", "nested too deeply"),
        ("a: &a x\nb: [" + "*a, " * 101 + "]\n", "2:405", "too many aliases"),
    ],
)
def test_unreadable_yaml_is_refused_at_its_place(text: str, where: str, what: str) -> None:
    mistake = only(text)
    assert mistake.where == f"i.yaml:{where}"
    assert what in mistake.what


def test_alias_bomb_is_stopped_by_what_it_expands_to() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    mistake = only("\n".join(layers))
    assert "too many values" in mistake.what
    assert mistake.where.startswith("i.yaml:6:")  # 10^5 fit, 10^6 do not


def test_an_alias_stands_for_its_value() -> None:
    hosts = (
        "hosts:\n  cp1: {address: 192.0.2.11, groups: &g [control_plane]}\n  cp2: {address: 192.0.2.12, groups: *g}\n"
    )
    assert [host.in_group("control_plane") for host in loaded(cluster(hosts=hosts)).cluster.hosts] == [True, True]


def test_every_duplicate_key_is_named_with_its_first_line() -> None:
    text = cluster("user: a", "user: b", hosts=HOSTS + "  w1: 192.0.2.22\n")
    first, second = mistakes(text)
    assert (first.where, second.where) == ("i.yaml:4:3", "i.yaml:8:3")
    assert "'user' stands here a second time; the first is in line 3" in first.what
    assert "'w1'" in second.what


def test_tags_and_merge_keys_are_refused() -> None:
    tag, merge = mistakes(cluster("user: !!str root", "<<: {user: root}"))
    assert (tag.where, merge.where) == ("i.yaml:3:9", "i.yaml:4:3")
    assert "tags" in tag.what
    assert "merge keys" in merge.what


@pytest.mark.parametrize("word", ["yes", "No", "on", "OFF"])
def test_words_that_yaml_readers_disagree_on(word: str) -> None:
    mistake = only(cluster(f"become: {word}"))
    assert mistake.where == "i.yaml:3:11"
    assert mistake.found == repr(word)
    assert "true or false" in mistake.todo


@pytest.mark.parametrize("word", ["0123", "1_000", "0x1F", "0o17", "0b11", "12:30", ".inf", ".nan", "9" * 19])
def test_numbers_that_yaml_readers_disagree_on(word: str) -> None:
    mistake = only(cluster(f"kubelet: {{maxPods: {word}}}"))
    assert mistake.where == "i.yaml:3:22"
    assert "disagree" in mistake.what


def test_swap_off_needs_no_quotes() -> None:
    assert loaded(cluster("swap: off")).cluster.swap == "off"
    assert loaded(cluster('swap: "off"')).cluster.swap == "off"
    mistake = only(cluster("swap: on"))
    assert (mistake.where, mistake.todo) == ("i.yaml:3:9", "write off or keep")


def test_scalars_of_free_form_settings_keep_their_types() -> None:
    written = "maxPods: 1, oomScoreAdj: -2, memoryThrottlingFactor: 0.5, seccompDefault: true, resolvConf: null"
    host = loaded(
        cluster(f"kubelet: {{{written}, volumePluginDir: text, clusterDNS: [192.0.2.53], staticPodPath: '1'}}")
    ).cluster.hosts[0]
    assert list(host.kubelet.values()) == [1, -2, 0.5, True, None, "text", ["192.0.2.53"], "1"]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + cluster().encode())
    assert load(path).cluster.name == "test"


def test_files_that_are_no_inventory(tmp_path: Path) -> None:
    large, binary, latin = tmp_path / "large", tmp_path / "binary", tmp_path / "latin"
    large.write_bytes(b"#" * (1 << 20) + b"\n")
    binary.write_bytes(b"a: \0\n")
    latin.write_bytes(b"a: b\nc: \xe4\n")
    for path, what, where in [
        (tmp_path, "this is a folder", ""),
        (tmp_path / "none", "cannot be read", ""),
        (large, "1048577 bytes", ""),
        (binary, "not text", ""),
        (latin, "not UTF-8", ":2"),
    ]:
        with pytest.raises(InventoryError, match=what) as caught:
            load(path)
        assert caught.value.where == f"{path}{where}"
        assert caught.value.todo


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "i.yaml"
    text = cluster()
    path.write_text(text + "#" * ((1 << 20) - len(text)))
    assert load(path).cluster.name == "test"


def test_users_of_a_directory_have_its_domain_in_their_names() -> None:
    for user in (r"EXAMPLE\ops", r"EXAMPLE\first.last", "ops@example.org", "EXAMPLE+ops"):
        assert loaded(cluster(f"user: '{user}'")).cluster.hosts[0].connection.user == user
    for user in ("ops\\", "\\ops", r"A\-o", r"A\B\C"):
        assert "user" in only(cluster(f"user: '{user}'")).what, user

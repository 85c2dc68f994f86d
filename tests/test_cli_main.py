"""postvouch(1) as a whole: help, exit statuses, what a terminal never sees."""

import os
import subprocess
import sys

import click
import pytest

from postvouch.cli import main, output


def postvouch(*arguments, **options):
    """Run the command as a process of its own."""
    code = "import sys; from postvouch.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_help_lists_every_verb_by_group(capsys):
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for title, verbs in main.GROUPS.items():
        assert f"{title}:" in shown
        for verb in verbs:
            assert f"\n  {verb} " in shown


def test_without_arguments_help_is_the_answer(capsys):
    assert main.run([]) == 0
    assert "Start here:" in capsys.readouterr().out


def all_commands():
    """Every verb and verb of a verb with its words."""
    context = click.Context(main.postvouch)
    for name in main.postvouch.list_commands(context):
        command = main.postvouch.get_command(context, name)
        yield [name], command
        if isinstance(command, click.Group):
            yield from (([name, inner], command.commands[inner]) for inner in sorted(command.commands))


COMMANDS = {" ".join(words): command for words, command in all_commands()}
LEAVES = sorted(words for words, command in COMMANDS.items() if not isinstance(command, click.Group))


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_verb_has_help_and_refuses_unknown_options_with_64(capsys, words):
    assert main.run([*words.split(), "--help"]) == 0
    assert f"Usage: postvouch {words}" in capsys.readouterr().out
    assert COMMANDS[words].help
    assert main.run([*words.split(), "--no-such-option"]) == 64
    assert "--no-such-option" in capsys.readouterr().err


# One line of text; and what Postfix is to be told, which is its own language.
PLAIN = {"srs genkey", "postfix"}


@pytest.mark.parametrize("words", [words for words in LEAVES if words not in PLAIN])
def test_every_verb_that_answers_can_answer_in_json(words):
    assert "--json" in {name for each in COMMANDS[words].params for name in each.opts}


def test_a_misspelt_verb_is_answered_with_the_right_one(capsys):
    assert main.run(["chekc"]) == 64
    assert 'did you mean "check"?' in capsys.readouterr().err


@pytest.mark.parametrize("words", [["srs"], ["dkim"], ["directory"], ["lookup"], ["verify"]])
def test_a_verb_with_too_few_words_is_wrong_usage(capsys, words):
    assert main.run(words) == 64
    assert capsys.readouterr().err


def test_the_process_ends_with_the_same_status():
    assert postvouch("check", "--config", "/nowhere/x.toml").returncode == 78
    assert postvouch("nonsense").returncode == 64
    assert postvouch("--version").stdout.startswith("postvouch, version ")


def test_a_reader_that_goes_away_early_hears_no_complaint():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        code = "import sys; from postvouch.cli.main import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", code, "config", "--example"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_nothing_that_is_printed_talks_to_the_terminal(capsys):
    output.line("a\x1b[31mred\r\n\u202eback\u2028")
    assert capsys.readouterr().out == "a\\x1b[31mred\\r\\n\\u202eback\\u2028\n"


def test_a_table_in_a_pipe_is_plain_aligned_text(capsys):
    output.table(("name", "value"), [("a", "1"), ("longer", "\x1b")])
    assert capsys.readouterr().out == "name    value\na       1\nlonger  \\x1b\n"


def test_a_table_on_a_terminal_keeps_every_word(capsys, monkeypatch):
    monkeypatch.setattr(output, "terminal", lambda: True)
    output.table(("name", "value"), [("[bold]x[/]", "pass")])
    shown = capsys.readouterr().out
    assert "[bold]x[/]" in shown
    assert "pass" in shown

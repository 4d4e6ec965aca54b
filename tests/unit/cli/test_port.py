"""What the banner of ``tapeline up`` names is ours."""

from __future__ import annotations

import socket

import pytest

from cli.host import processes


def test_a_port_that_another_program_has_is_not_called_the_dashboard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its address would open somebody else's pages."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        processes._say_dashboard("127.0.0.1", port)
        taken = capsys.readouterr().out
        assert f"Another program has port {port}" in taken
        assert "http://" not in taken
    processes._say_dashboard("127.0.0.1", port)
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().out

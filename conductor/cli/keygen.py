"""`op-conductor keygen`: make the key that is a node's identity, or show whose key a file is."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_KEY_FILE = "identity.pem"

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--out",
    type=_FILE,
    metavar="FILE",
    help=f"Where to write the new key. [default: {DEFAULT_KEY_FILE}]",
)
@click.option("--show", type=_FILE, metavar="FILE", help="Make no key: show the one in this file.")
def keygen(out: Path | None, show: Path | None) -> None:
    """Make an ed25519 key for `op-conductor run --identity-key FILE`.

    The file is unencrypted PEM of mode 0600, and never replaces another. Prints the public key,
    which is the node's identity for its peers, as 64 hex digits.
    """
    if out is not None and show is not None:
        raise click.UsageError("--out makes a key, --show shows one: give one of them")
    # Imported here so that `--help` does not wait for the cryptography.
    from conductor.identity import create_key, load_key

    if show is not None:
        click.echo(load_key(show).public_key.hex())
        return
    path = out or Path(DEFAULT_KEY_FILE)
    click.echo(create_key(path).public_key.hex())
    click.echo(f"wrote {path}: keep it secret, and keep a copy if peers know it", err=True)

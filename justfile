# For those who have `just`: the same commands as `cargo xtask …`, which does the work and brings what is missing.

# What there is to do.
default:
    @just --list

# Put throw-away hosts onto a network; `--keep` leaves them up.
demo *args:
    cargo xtask demo {{args}}

# Real hosts, a control server and the web by hand: up [N], ssh HOST, exec WORD…, down.
lab *args:
    cargo xtask lab {{args}}

# Every test there is.
test *args:
    cargo xtask test {{args}}

# Breaks the product on purpose, one thing at a time, and demands that its tests fail; `--beside`, `--lab`, names.
breaks *args:
    cargo xtask breaks {{args}}

# The product beside its peers; `--quick`, `--no-peers`, `--write-docs`.
bench *args:
    cargo xtask bench {{args}}

# Formatting, clippy for both targets, documentation.
lint:
    cargo xtask lint

# Licences, bans, sources and advisories of the dependencies.
deny:
    cargo xtask deny

# Line coverage of the two crates that are pure logic.
coverage:
    cargo xtask coverage

# Every fuzz target, for some seconds each.
fuzz seconds="30":
    cargo xtask fuzz {{seconds}}

# The released binary, the provider's artifact, their digests.
dist:
    cargo xtask dist

# What the automatic checks run.
ci:
    .ci/run

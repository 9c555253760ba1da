# The recipes that people and CI use. `just` alone lists them. scripts/test and scripts/demo work without just.

export PORTCULLIS_CACHE := env("PORTCULLIS_CACHE", if `id -u` == "0" { "/var/cache/portcullis" } else { env("XDG_CACHE_HOME", env("HOME", "") / ".cache") / "portcullis" })
export PORTCULLIS_PG_BINARIES := env("PORTCULLIS_PG_BINARIES", PORTCULLIS_CACHE / "postgresql")
export PORTCULLIS_DRIVERS := env("PORTCULLIS_DRIVERS", PORTCULLIS_CACHE / "drivers")

house := "--profile house --workspace --locked"

_list:
    @just --list --unsorted

# Whether everything compiles.
check:
    cargo check {{house}} --all-targets

# Formats the sources.
fmt:
    cargo fmt --all

# Format and clippy, without a warning.
lint:
    cargo fmt --all --check
    cargo clippy {{house}} --all-targets -- -D warnings

# Every test of the workspace, doctests included; `scripts/test` also fetches what they need and runs the rest.
test *arguments:
    cargo test {{house}} --no-fail-fast {{arguments}}

# The tests of one crate: `just test-crate audit`, `just test-crate testkit imports`.
test-crate crate *filter:
    cargo test --profile house --locked -p {{ if crate == "portcullis" { crate } else { "portcullis-" + crate } }} {{filter}}

# The suites that several implementations share: stores, protocols, fuzz replays.
conform:
    cargo test {{house}} --no-fail-fast -- conform fuzz

# The tests that policy bundles carry.
policy-test *bundles="policies/*.yaml":
    cargo run {{house}} --quiet --bin portcullis -- policy test {{bundles}}

# The OPA bundle of the fixtures through the real `opa`: its answers are those of the gateway's own evaluator. Needs `opa`.
opa binary="opa":
    {{binary}} version
    {{binary}} test --bundle fixtures/rego/change-window/opa
    PORTCULLIS_OPA="$(command -v {{binary}})" cargo test --profile house --locked -p portcullis-policy --lib the_answers_of_the_fixture

# A fuzz target for some seconds, or every target: `just fuzz postgres_core 600`. docs/fuzzing.md
fuzz target="" seconds="60":
    scripts/fuzz "{{target}}" "{{seconds}}"

# The SQL corpus through a gateway, against a throwaway server.
corpus *arguments:
    cargo build {{house}} --bin portcullis --examples
    scripts/corpus {{arguments}}

# The shell corpus over SSH through a gateway, against a throwaway server; as root.
corpus-shell *arguments:
    cargo build {{house}} --bin portcullis
    scripts/corpus-shell {{arguments}}

# SAML logins and forged ones through an OIDC bridge; fetches the bridge at its first run.
saml:
    cargo build {{house}} --bin portcullis
    scripts/saml

# Direct, byte relay, pgbouncer and Portcullis in one run; writes a table for docs/performance.md.
bench *arguments:
    cargo build --release --workspace --locked --bin portcullis --examples
    scripts/bench {{arguments}}

# SSH directly, through ProxyJump and through Portcullis in one run; writes a table for docs/performance.md.
bench-ssh *arguments:
    cargo build --release --workspace --locked --bin portcullis
    scripts/bench-ssh {{arguments}}

# HTTP directly, through nginx and through Portcullis in one run; writes tables for docs/performance.md.
bench-http *arguments:
    cargo build --release --workspace --locked --bin portcullis
    scripts/bench-http {{arguments}}

# The large counts: 50 kills, every split, long generated suites, a gibibyte each way. An hour or more.
soak:
    PORTCULLIS_CASES=20000 cargo test {{house}} --no-fail-fast -- --nocapture
    cargo test {{house}} --test it -- --ignored a_gibibyte_each_way

# The demo; `just demo --script` walks it by itself.
demo *arguments:
    scripts/demo {{arguments}}

# The API documentation of our crates, without a warning.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc {{house}} --no-deps --document-private-items

# What CI runs.
ci:
    .ci/run

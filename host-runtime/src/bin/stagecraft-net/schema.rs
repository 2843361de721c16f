//! `schema`: the JSON Schema of the project's file, for editors.

use stagecraft_net::inventory;
use stagecraft_net::registry::Registry;

use crate::args::Global;
use crate::exit::Exit;
use crate::project::{registry, stopped};

pub(crate) fn run(global: &Global) -> Exit {
    match registry() {
        Ok(registry) => {
            println!("{}", text(&registry));
            Exit::Ok
        }
        Err(stop) => stopped(global.json, global.verbose, "schema", None, &stop),
    }
}

/// The schema, with what each provider says of its own config.
fn text(registry: &Registry) -> String {
    let providers: Vec<_> =
        registry.list().map(|provider| (provider.id(), provider.descriptor().config_schema.as_str())).collect();
    format!("{:#}", inventory::schema(&providers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds a page of the documentation to what is made from the code; `UPDATE=1` writes it.
    fn held(page: &str, made: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, made).expect("it is written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == made, "docs/{page} is stale: run `UPDATE=1 cargo test -p stagecraft-net --bins config_md`");
    }

    #[test]
    fn docs_config_md_and_the_schema_are_what_the_code_says() {
        let registry = registry().expect("the providers");
        let providers: Vec<_> =
            registry.list().map(|provider| (provider.id(), provider.descriptor().config_schema.as_str())).collect();
        held("config.md", &inventory::reference(&providers));
        held("stagecraft-net.schema.json", &format!("{}\n", text(&registry)));
    }
}

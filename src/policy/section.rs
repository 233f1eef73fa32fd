//! Reads one table of a policy file key by key, and reports what is unknown, missing or wrong in it. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Metrics;
use super::diagnostic::{At, Diagnostic, printable};
use super::files::Source;
use super::text::{Engine, Found, RawHooks, RawWorkload, Settings};
use super::value::{self, Fault, Purpose, Value, key_name};
use crate::near::near;

pub(super) const DEFAULTS_KEYS: [&str; 6] = [
    "soak",
    "fallbacks",
    "grace",
    "local_fallback",
    "pressure",
    "pin",
];
pub(super) const ENGINE_KEYS: [&str; 2] = ["socket", "timeout"];
pub(super) const METRICS_KEYS: [&str; 1] = ["textfile"];
pub(super) const HOOKS_KEYS: [&str; 4] = ["promoted", "failed", "rolled_back", "timeout"];
const WORKLOAD_KEYS: [&str; 13] = [
    "repository",
    "remotes",
    "container",
    "orchestrated",
    "ready",
    "ready_timeout",
    "soak",
    "fallbacks",
    "grace",
    "local_fallback",
    "pressure",
    "pin",
    "hold",
];
/// Every section of a policy with its keys, the required ones of a workload first.
pub const SECTIONS: [(&str, &[&str]); 5] = [
    ("[defaults]", &DEFAULTS_KEYS),
    ("[engine]", &ENGINE_KEYS),
    ("[metrics]", &METRICS_KEYS),
    ("[hooks]", &HOOKS_KEYS),
    ("[workload.NAME]", &WORKLOAD_KEYS),
];

/// One table of a file, being read.
pub(super) struct Section<'a, 's> {
    pub(super) source: &'s Source,
    pub(super) table: &'a DeTable<'a>,
    /// `workload.telemetry`; empty at the top.
    pub(super) path: String,
    /// The file has syntax errors, so that what seems absent may only have been lost.
    pub(super) broken: bool,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
    /// Where each value was read.
    pub(super) marks: &'a mut Marks<'s>,
}

/// Where the values of a policy stand, by their keys: `workload.telemetry.soak`, and `workload.telemetry.ready#0` for an entry
/// of a list. A workload's own key is where its name stands.
pub(super) type Marks<'s> = BTreeMap<String, At<'s>>;

impl<'s> Section<'_, 's> {
    fn at(&self, span: Range<usize>) -> At<'s> {
        At {
            source: self.source,
            span,
        }
    }

    fn mark(&mut self, key: String, span: Range<usize>) {
        let at = self.at(span);
        self.marks.insert(key, at);
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key_name(key)
        } else {
            format!("{}.{}", self.path, key_name(key))
        }
    }

    fn report(&mut self, span: Range<usize>, key: &str, what: String, mend: impl Into<String>) {
        let diagnostic = self
            .at(span)
            .error(Some(self.key_path(key)), what, mend.into());
        self.diagnostics.push(diagnostic);
    }

    fn report_fault(&mut self, key: &str, fault: Fault) {
        let what = format!("'{key}' in [{}] {}", self.path, fault.what);
        self.report(fault.span, key, what, fault.mend);
    }

    /// A value that is itself a section.
    pub(super) fn subsection<'b>(
        &'b mut self,
        key: &Spanned<DeString>,
        value: &'b Value<'b>,
    ) -> Option<Section<'b, 's>> {
        let path = self.key_path(key.get_ref());
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Section {
                source: self.source,
                table,
                path,
                broken: self.broken,
                diagnostics: self.diagnostics,
                marks: self.marks,
            });
        }
        let (what, mend) = match path.as_str() {
            "workload" => (
                "'workload' is no section by itself".to_owned(),
                "write one section for each workload, [workload.NAME]".to_owned(),
            ),
            "defaults" | "engine" | "metrics" | "hooks" => (
                format!("'{path}' is a section, not a key"),
                format!("write [{path}] on a line of its own, and its keys below"),
            ),
            _ => (
                format!("'{path}' is no workload: a workload is a section"),
                "write [workload.NAME], and its keys below".to_owned(),
            ),
        };
        self.report(key.span(), key.get_ref(), what, mend);
        None
    }

    fn read<T>(
        &mut self,
        key: &str,
        reader: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<Found<'s, T>> {
        let value = self.table.get(key)?;
        self.mark(self.key_path(key), value.span());
        match reader(value) {
            Ok(read) => Some(Found {
                value: read,
                at: self.at(value.span()),
            }),
            Err(fault) => {
                self.report_fault(key, fault);
                None
            }
        }
    }

    /// As [`Self::read`], for a list; gives the entries that could be read.
    fn read_list<T>(
        &mut self,
        key: &str,
        reader: impl Fn(usize, &Value) -> Result<T, Fault>,
        example: &str,
    ) -> Option<Vec<Found<'s, T>>> {
        let value = self.table.get(key)?;
        let DeValue::Array(entries) = value.get_ref() else {
            let mend = format!("write a list, {example}");
            self.report_fault(key, Fault::wrong_type(value, "a list", mend));
            return None;
        };
        let path = self.key_path(key);
        self.mark(path.clone(), value.span());
        let mut found = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            self.mark(format!("{path}#{index}"), entry.span());
            match reader(index, entry) {
                Ok(read) => found.push(Found {
                    value: read,
                    at: self.at(entry.span()),
                }),
                Err(fault) => self.report_fault(key, fault),
            }
        }
        Some(found)
    }

    fn read_duration(&mut self, key: &str, purpose: Purpose, example: &str) -> Option<u64> {
        self.read(key, |v| value::duration(v, purpose, example))
            .map(|found| found.value)
    }

    pub(super) fn settings(&mut self) -> Settings {
        Settings {
            soak_ms: self.read_duration("soak", Purpose::Soak, "10m"),
            fallbacks: self.read("fallbacks", value::fallbacks).map(|f| f.value),
            grace_ms: self.read_duration("grace", Purpose::Grace, "24h"),
            local_fallback: self
                .read("local_fallback", value::local_fallback)
                .map(|f| f.value),
            pressure_percent: self.read("pressure", value::percentage).map(|f| f.value),
            pin: self.read("pin", value::switch).map(|f| f.value),
        }
    }

    pub(super) fn engine(&mut self) -> Engine {
        Engine {
            socket: self.read("socket", value::socket).map(|f| f.value),
            timeout_ms: self.read_duration("timeout", Purpose::Timeout, "20s"),
        }
    }

    pub(super) fn metrics(&mut self) -> Metrics {
        Metrics {
            textfile: self.read("textfile", value::textfile).map(|f| f.value),
        }
    }

    pub(super) fn hooks(&mut self) -> RawHooks {
        RawHooks {
            promoted: self.command("promoted"),
            failed: self.command("failed"),
            rolled_back: self.command("rolled_back"),
            timeout_ms: self.read_duration("timeout", Purpose::Timeout, "10s"),
        }
    }

    pub(super) fn workloads(&mut self) -> Vec<RawWorkload<'s>> {
        let mut workloads = Vec::new();
        for (name, value) in self.table {
            let text = name.get_ref().as_ref();
            // Somebody wrote [workload], and the keys of one below it.
            if !value.get_ref().is_table() && WORKLOAD_KEYS.contains(&text) {
                let what = format!("'{text}' stands in no workload");
                let mend = "write [workload.NAME] instead of [workload]";
                self.report(name.span(), text, what, mend);
                continue;
            }
            let good = value::is_name(text);
            if !good {
                let what = format!("'{}' is not the name of a workload", printable(text));
                let mend = format!("write {}", value::NAME_RULE);
                self.report(name.span(), text, what, mend);
            }
            if let Some(mut section) = self.subsection(name, value) {
                let workload = section.workload(name);
                section.unknown_keys(&WORKLOAD_KEYS);
                workloads.extend(good.then_some(workload));
            }
        }
        workloads
    }

    fn workload(&mut self, name: &Spanned<DeString>) -> RawWorkload<'s> {
        let name = Found {
            value: name.get_ref().to_string(),
            at: self.at(name.span()),
        };
        self.missing_keys(&name.at);
        self.marks.insert(self.path.clone(), name.at.clone());
        let container = if self.table.contains_key("container") {
            self.read("container", value::container)
        } else {
            Some(name.clone())
        };
        RawWorkload {
            repository: self.read("repository", value::repository),
            remotes: self
                .read_list(
                    "remotes",
                    |_, v| value::repository(v),
                    "[\"registry.example/docker-app\"]",
                )
                .unwrap_or_default(),
            container,
            orchestrated: self.read("orchestrated", value::glob).map(|f| f.value),
            ready: self.command("ready"),
            ready_timeout_ms: self.read_duration("ready_timeout", Purpose::Timeout, "10s"),
            settings: self.settings(),
            hold: self.read("hold", value::switch).map(|f| f.value),
            name,
        }
    }

    /// A program and its arguments, to be run without a shell.
    fn command(&mut self, key: &str) -> Option<Vec<String>> {
        let example = "[\"/path/to/command\", \"arg\"]";
        let found = self.read_list(key, value::command_word, example)?;
        let value = self.table.get(key)?;
        if value.get_ref().as_array().is_some_and(|a| a.is_empty()) {
            let mend = format!("write {example}, or leave the key out");
            self.report_fault(key, Fault::new(value.span(), "is empty", mend));
        }
        Some(found.into_iter().map(|word| word.value).collect())
    }

    /// Reports keys that must be there and are not.
    fn missing_keys(&mut self, name: &At<'s>) {
        if self.broken {
            return;
        }
        // It may be there (and near to itself), misspelt, or in a name with a dot that was taken for two; the latter
        // are reported as what they are.
        let explained = self.table.iter().any(|(key, value)| {
            near(key.get_ref(), WORKLOAD_KEYS) == Some("repository") || value.get_ref().is_table()
        });
        if !explained {
            let what = format!("'repository' is missing in [{}]", self.path);
            let mend =
                "write repository = \"NAME\", the local repository whose latest the service runs";
            self.report(name.span.clone(), "repository", what, mend);
        }
        if let Some((key, _)) = self.table.get_key_value("ready_timeout")
            && !self.table.contains_key("ready")
        {
            let what = format!("'ready_timeout' in [{}] has no 'ready'", self.path);
            let mend = "write ready = [\"/path/to/command\"] beside it, or leave it out";
            self.report(key.span(), "ready_timeout", what, mend);
        }
    }

    pub(super) fn unknown_keys(&mut self, legal: &[&str]) {
        for (key, value) in self.table {
            let text = key.get_ref().as_ref();
            if legal.contains(&text) {
                continue;
            }
            let what = format!("unknown key '{}' in [{}]", printable(text), self.path);
            let elsewhere = SECTIONS.iter().find(|(_, keys)| keys.contains(&text));
            let list = format!("the keys here are {}", legal.join(", "));
            let mend = if let Some((section, _)) = elsewhere {
                format!("'{text}' is a key of {section}; {list}")
            } else if let Some(meant) = near(key.get_ref(), legal.iter().copied()) {
                format!("did you mean '{meant}'?")
            } else if value.get_ref().is_table() && self.path.starts_with("workload.") {
                "a name with a dot is written in quotes, [workload.\"a.b\"]".to_owned()
            } else {
                list
            };
            self.report(key.span(), text, what, mend);
        }
    }

    pub(super) fn unknown_at_top(&mut self, key: &Spanned<DeString>, value: &Value) {
        let text = key.get_ref().as_ref();
        let shown = printable(text);
        let (what, home) = if value.get_ref().is_table() {
            let meant = near(
                key.get_ref(),
                ["defaults", "engine", "metrics", "hooks", "workload"],
            );
            let meant = SECTIONS
                .iter()
                .find(|(section, _)| meant.is_some_and(|meant| section[1..].starts_with(meant)));
            (format!("unknown section [{shown}]"), meant)
        } else {
            let home = SECTIONS.iter().find(|(_, keys)| keys.contains(&text));
            (format!("'{shown}' stands in no section"), home)
        };
        let mend = match home {
            Some((section, _)) if value.get_ref().is_table() => {
                format!("did you mean {section}?")
            }
            Some((section, _)) => format!("write it below {section}"),
            None => "the sections are [defaults], [engine], [metrics], [hooks] and [workload.NAME]"
                .to_owned(),
        };
        self.report(key.span(), text, what, mend);
    }
}

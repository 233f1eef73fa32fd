//! Reads one file key by key, by the keys of `keys`, and reports what is unknown, missing or wrong
//! in it. Pure.
//!
//! The tables are walked by hand, because a derived deserializer stops at the first error and loses
//! the place of what it read; here all errors of all files come at once (design section 6). A key
//! that was not read is unknown: there is no second list.

use tagkeeper_core::model::{Pattern, Rejection};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Finding, Findings, Source, Span, printable};
use super::keys::{self, Key, Read, Row, Section};
use super::merged::{Hold, Merged, Shared, Workload};
use super::value::{self, Fault, Found, Input, Value, key_name};
use crate::suggest::closest;

/// What the parser says of a key or a section that is there already.
const DUPLICATE: &str = "duplicate key";
/// What word processors make of a quotation mark.
const TYPOGRAPHIC: [char; 10] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '″'];

/// Reads one file into what the earlier ones say; `number` is its place among the sources. What is
/// wrong is reported, and left as it was.
pub(super) fn read_file(
    number: usize,
    source: &Source,
    merged: &mut Merged,
    findings: &mut Findings,
) {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let errors: Vec<Finding> = errors
        .iter()
        .map(|e| syntax_error(number, source, e))
        .collect();
    let before = findings.list.len();
    let top = Table {
        file: number,
        values: root.get_ref(),
        path: String::new(),
        is_broken: !errors.is_empty(),
        known: Vec::new(),
        findings,
    };
    top.root(merged);

    // What the parser made of lines that it could not read is not what was written there.
    let garbled = Garbled::new(&source.text, &errors);
    let read = findings.list.split_off(before);
    let is_kept = |error: &Finding| {
        !error.message.ends_with(DUPLICATE) || !garbled.is_below_a_header(error.span.start)
    };
    findings.list.extend(errors.into_iter().filter(is_kept));
    let read = read.into_iter();
    findings
        .list
        .extend(read.filter(|f| !garbled.touches(f.span)));
}

/// The stretches that syntax errors leave without meaning: the line of each, and below a section's
/// header all of the section.
struct Garbled {
    /// Disjoint, in order.
    all: Vec<(usize, usize)>,
    /// Those of headers, from the line below.
    sections: Vec<(usize, usize)>,
    /// Where the errors are.
    errors: Vec<usize>,
}

impl Garbled {
    fn new(text: &str, errors: &[Finding]) -> Self {
        let is_header = |line: &str| line.trim_start().starts_with('[');
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            lines.push((start, start + line.len(), is_header(line)));
            start += line.len();
        }
        lines.push((start, start + 1, false));
        let mut all = Vec::new();
        let mut sections: Vec<(usize, usize)> = Vec::new();
        for error in errors {
            let index = lines.partition_point(|(start, ..)| *start <= error.span.start);
            let Some(&(start, end, is_header)) = lines.get(index.saturating_sub(1)) else {
                continue;
            };
            let mut last = end;
            // Sections do not overlap: one that has been seen already is not walked again.
            if is_header && sections.last().is_none_or(|(start, _)| *start != end) {
                let below = lines.iter().skip(index);
                if let Some((_, end, _)) = below.take_while(|(.., header)| !header).last() {
                    last = *end;
                }
                sections.push((end, last));
            }
            all.push((start, last));
        }
        sections.sort_unstable();
        all.sort_unstable();
        all.dedup_by(|next, before| {
            let joins = next.0 <= before.1;
            if joins {
                before.1 = before.1.max(next.1);
            }
            joins
        });
        let mut errors: Vec<usize> = errors.iter().map(|e| e.span.start).collect();
        errors.sort_unstable();
        Self {
            all,
            sections,
            errors,
        }
    }

    /// Whether what was read begins on such a line, or broke off at an error, as a text without its
    /// end does.
    fn touches(&self, span: Span) -> bool {
        let index = self.errors.partition_point(|error| *error <= span.start);
        let next = self.errors.get(index);
        is_in(&self.all, span.start) || next.is_some_and(|error| *error <= span.end)
    }

    fn is_below_a_header(&self, offset: usize) -> bool {
        is_in(&self.sections, offset)
    }
}

fn is_in(ranges: &[(usize, usize)], offset: usize) -> bool {
    let index = ranges.partition_point(|(start, _)| *start <= offset);
    let before = index.checked_sub(1).and_then(|index| ranges.get(index));
    before.is_some_and(|(_, end)| offset < *end)
}

fn syntax_error(file: usize, source: &Source, error: &toml::de::Error) -> Finding {
    let text = &source.text;
    let span = Span::new(file, error.span().unwrap_or(text.len()..text.len()));
    let line = source.line_at(span.start);
    let help = if error.message() == DUPLICATE {
        "write each key and each section once in a file"
    } else if line.contains(TYPOGRAPHIC) {
        "use straight quotes, \"...\"; these are typographic ones"
    } else {
        "write 'key = value', with texts in double quotes and lists in [ ]"
    };
    Finding {
        span,
        key: None,
        message: format!("not TOML: {}", printable(error.message())),
        help: help.to_owned(),
        other: None,
    }
}

/// One table of a file, being read.
struct Table<'a> {
    file: usize,
    values: &'a DeTable<'a>,
    /// `workload.telemetry`; empty at the top.
    path: String,
    /// The file has syntax errors, so that what seems absent may only have been lost.
    is_broken: bool,
    /// The keys that were asked for.
    known: Vec<&'static str>,
    findings: &'a mut Findings,
}

impl Table<'_> {
    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key_name(key)
        } else {
            format!("{}.{}", self.path, key_name(key))
        }
    }

    fn report(&mut self, span: Span, key: &str, message: String, help: impl Into<String>) {
        let key = Some(self.key_path(key));
        let help = help.into();
        self.findings.list.push(Finding {
            span,
            key,
            message,
            help,
            other: None,
        });
    }

    fn report_key(&mut self, key: &Spanned<DeString>, message: String, help: impl Into<String>) {
        let span = Span::new(self.file, key.span());
        self.report(span, key.get_ref(), message, help);
    }

    fn report_fault(&mut self, key: &str, fault: Fault) {
        let message = format!("'{}' in [{}] {}", printable(key), self.path, fault.message);
        self.report(fault.span, key, message, fault.help);
    }

    /// Reads the value of a key, if it is set. From then on the key is known.
    fn read<T>(&mut self, key: &Key<T>) -> Option<Found<T>> {
        self.known.push(key.name);
        self.read_as(key, key.name)
    }

    fn read_as<T>(&mut self, key: &Key<T>, name: &str) -> Option<Found<T>> {
        let input = Input {
            value: self.values.get(name)?,
            file: self.file,
            row: key.row(),
        };
        let path = self.key_path(name);
        if let DeValue::Array(entries) = input.value.get_ref() {
            for (index, entry) in entries.iter().enumerate() {
                let span = Span::new(self.file, entry.span());
                self.findings.spans.insert(format!("{path}#{index}"), span);
            }
        }
        self.findings.spans.insert(path, input.span());
        let mut faults = Vec::new();
        let value = match key.reader.read {
            Read::One(read) => read(&input).map_err(|fault| faults.push(fault)).ok(),
            Read::Many(read) => read(&input, &mut faults),
        };
        for fault in faults {
            self.report_fault(name, fault);
        }
        let span = input.span();
        value.map(|value| Found { value, span })
    }

    fn value_of<T>(&mut self, key: &Key<T>) -> Option<T> {
        self.read(key).map(|found| found.value)
    }

    /// Reads the value of a key into its place, if it is set.
    fn set<T, P: From<T>>(&mut self, key: &Key<T>, place: &mut P) {
        if let Some(value) = self.value_of(key) {
            *place = value.into();
        }
    }

    fn root(mut self, merged: &mut Merged) {
        for (key, value) in self.values {
            let name = key.get_ref().as_ref();
            let Some(section) = Section::ALL.into_iter().find(|s| s.name() == name) else {
                self.unknown_at_top(key, value);
                continue;
            };
            let Some(mut table) = self.subtable(key, value) else {
                continue;
            };
            let settings = &mut merged.settings;
            match section {
                Section::Defaults => table.shared(&mut merged.defaults),
                Section::Engine => {
                    table.set(&keys::SOCKET, &mut settings.engine.socket);
                    table.set(&keys::TIMEOUT, &mut settings.engine.timeout_ms);
                }
                Section::Metrics => table.set(&keys::TEXTFILE, &mut settings.metrics.textfile),
                Section::Hooks => {
                    let hooks = &mut settings.hooks;
                    table.set(&keys::PROMOTED, &mut hooks.promoted);
                    table.set(&keys::FAILED, &mut hooks.failed);
                    table.set(&keys::ROLLED_BACK, &mut hooks.rolled_back);
                    table.set(&keys::HOOK_TIMEOUT, &mut hooks.timeout_ms);
                    table.set(&keys::SPREAD, &mut hooks.spread_ms);
                }
                Section::Hold => merged.holds.push(table.hold()),
                // Their keys are names.
                Section::Workload => {
                    let mut workloads = table.workloads();
                    workloads.sort_by_key(|w| w.name.span.start);
                    merged.workloads.extend(workloads);
                    continue;
                }
                Section::Reject => {
                    merged.rejections.extend(table.rejections());
                    continue;
                }
            }
            table.report_unknown();
        }
    }

    /// A value that is itself a section.
    fn subtable<'b>(
        &'b mut self,
        key: &Spanned<DeString>,
        value: &'b Value<'b>,
    ) -> Option<Table<'b>> {
        let path = self.key_path(key.get_ref());
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Table {
                file: self.file,
                values: table,
                path,
                is_broken: self.is_broken,
                known: Vec::new(),
                findings: self.findings,
            });
        }
        let (message, help) = match path.as_str() {
            "workload" => (
                "'workload' is not a section by itself".to_owned(),
                "write one section for each workload, [workload.NAME]".to_owned(),
            ),
            "hold" | "reject" if value.get_ref().is_array() => (
                format!("'{path}' is a list of sections"),
                format!("write [{path}] once in a file; those of several files add up"),
            ),
            _ if self.path.is_empty() => (
                format!("'{path}' is a section, not a key"),
                format!("write [{path}] on a line of its own, and its keys below"),
            ),
            _ => (
                format!("'{path}' is a key, and a workload is a section"),
                "write [workload.NAME], and its keys below".to_owned(),
            ),
        };
        self.report_key(key, message, help);
        None
    }

    fn shared(&mut self, shared: &mut Shared) {
        self.set(&keys::SOAK, &mut shared.soak_ms);
        self.set(&keys::FALLBACKS, &mut shared.fallbacks);
        self.set(&keys::GRACE, &mut shared.grace_ms);
        self.set(&keys::DRY_RUNS, &mut shared.dry_runs);
        self.set(&keys::LOCAL_FALLBACK, &mut shared.local_fallback);
        self.set(&keys::PRESSURE, &mut shared.pressure_percent);
        self.set(&keys::PIN, &mut shared.pin);
    }

    fn hold(&mut self) -> Hold {
        Hold {
            workloads: self.value_of(&keys::HOLD_WORKLOADS),
            for_ms: self.value_of(&keys::HOLD_FOR),
            reason: self.value_of(&keys::HOLD_REASON),
        }
    }

    fn rejections(&mut self) -> Vec<(Found<String>, Vec<Rejection>)> {
        let mut rejections = Vec::new();
        for (key, _) in self.values {
            let name = key.get_ref().as_ref();
            if !self.check_workload_name(key) {
                continue;
            }
            if let Some(found) = self.read_as(&keys::REJECTED, name) {
                let span = Span::new(self.file, key.span());
                let value = name.to_owned();
                rejections.push((Found { value, span }, found.value));
            }
        }
        rejections
    }

    fn check_workload_name(&mut self, name: &Spanned<DeString>) -> bool {
        let text = name.get_ref().as_ref();
        let is_name = value::is_name(text);
        if !is_name {
            let message = format!("'{}' is not the name of a workload", printable(text));
            self.report_key(name, message, format!("write {}", value::NAME_RULE));
        }
        is_name
    }

    fn workloads(&mut self) -> Vec<Workload> {
        let mut workloads = Vec::new();
        for (name, value) in self.values {
            let text = name.get_ref().as_ref();
            // [workload], with the keys of a workload below it.
            let is_key = Row::of(Section::Workload).any(|row| row.name == text);
            if !value.get_ref().is_table() && is_key {
                let message = format!("'{text}' is outside any workload");
                self.report_key(name, message, "write [workload.NAME] instead of [workload]");
                continue;
            }
            let is_name = self.check_workload_name(name);
            if let Some(mut table) = self.subtable(name, value) {
                let workload = table.workload(name);
                table.report_unknown();
                workloads.extend(is_name.then_some(workload));
            }
        }
        workloads
    }

    fn workload(&mut self, name: &Spanned<DeString>) -> Workload {
        let name = Found {
            value: name.get_ref().to_string(),
            span: Span::new(self.file, name.span()),
        };
        self.report_missing(name.span);
        self.findings.spans.insert(self.path.clone(), name.span);
        let containers = self.value_of(&keys::CONTAINER);
        let containers = if self.values.contains_key(keys::CONTAINER.name) {
            containers.unwrap_or_default()
        } else {
            let own = Pattern::parse(&name.value).ok();
            let span = name.span;
            own.map(|value| Found { value, span }).into_iter().collect()
        };
        let mut workload = Workload {
            repository: self.read(&keys::REPOSITORY),
            remotes: self.value_of(&keys::REMOTES).unwrap_or_default(),
            containers,
            orchestrated: self.value_of(&keys::ORCHESTRATED),
            ready: self.value_of(&keys::READY),
            ready_timeout_ms: self.value_of(&keys::READY_TIMEOUT),
            version_label: self.value_of(&keys::VERSION_LABEL),
            shared: Shared::default(),
            hold: None,
            name,
        };
        self.shared(&mut workload.shared);
        self.set(&keys::HOLD, &mut workload.hold);
        workload
    }

    /// Reports keys that must be there and are not.
    fn report_missing(&mut self, name: Span) {
        if self.is_broken {
            return;
        }
        let keys = || Row::of(Section::Workload).map(|row| row.name);
        // It may be there (and closest to itself), misspelt, or in a name with a dot that was taken
        // for two; the latter are reported as what they are.
        let is_explained = self.values.iter().any(|(key, value)| {
            closest(key.get_ref(), keys()) == Some(keys::REPOSITORY.name)
                || value.get_ref().is_table()
        });
        if !is_explained {
            let message = format!("'repository' is missing in [{}]", self.path);
            let help =
                "write repository = \"NAME\", the local repository whose latest the service runs";
            self.report(name, keys::REPOSITORY.name, message, help);
        }
        let timeout = self.values.get_key_value(keys::READY_TIMEOUT.name);
        if let Some((key, _)) = timeout.filter(|_| !self.values.contains_key(keys::READY.name)) {
            let message = format!("'ready_timeout' in [{}] has no 'ready'", self.path);
            let help = "write ready = [\"/path/to/command\"] beside it, or omit it";
            self.report_key(key, message, help);
        }
    }

    /// Reports every key that was not asked for.
    fn report_unknown(mut self) {
        let list = self.known.join(", ");
        for (key, value) in self.values {
            let text = key.get_ref().as_ref();
            if self.known.contains(&text) {
                continue;
            }
            let message = format!("unknown key '{}' in [{}]", printable(text), self.path);
            let list = format!("the keys here are {list}");
            let help = if let Some(section) = section_of_key(text) {
                format!("'{text}' is a key of {}; {list}", section.heading())
            } else if let Some(meant) = closest(text, self.known.iter().copied()) {
                format!("did you mean '{meant}'?")
            } else if value.get_ref().is_table() && self.path.starts_with("workload.") {
                "quote a name that contains a dot, [workload.\"a.b\"]".to_owned()
            } else {
                list
            };
            self.report_key(key, message, help);
        }
    }

    fn unknown_at_top(&mut self, key: &Spanned<DeString>, value: &Value) {
        let text = key.get_ref().as_ref();
        let shown = printable(text);
        let is_section = value.get_ref().is_table();
        let (message, meant) = if is_section {
            let names = Section::ALL.map(Section::name);
            let meant = closest(text, names);
            let meant = Section::ALL.into_iter().find(|s| Some(s.name()) == meant);
            (format!("unknown section [{shown}]"), meant)
        } else {
            (
                format!("'{shown}' is outside any section"),
                section_of_key(text),
            )
        };
        let help = match meant {
            Some(section) if is_section => format!("did you mean {}?", section.heading()),
            Some(section) => format!("write it below {}", section.heading()),
            None => {
                let [first @ .., last] = Section::ALL.map(Section::heading);
                format!("the sections are {} and {last}", first.join(", "))
            }
        };
        self.report_key(key, message, help);
    }
}

/// The first section that has such a key. Those whose keys are names have none.
fn section_of_key(key: &str) -> Option<Section> {
    let is_named = |row: &&Row| row.name == key && row.sections != [Section::Reject];
    let row = keys::TABLE.iter().find(is_named)?;
    row.sections.first().copied()
}

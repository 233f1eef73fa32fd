//! The fake engine by itself, asked by a raw client: what the other tests stand on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ImageDeleteResponseItem, ImageInspect,
    ImageSummary, SystemVersion,
};
use tempfile::TempDir;

use in_memory_engine::{Engine, Fake, Fault, Moment, Route};

/// A fake on a socket of its own.
struct Bench {
    fake: Fake,
    socket: PathBuf,
    _dir: TempDir,
}

impl Bench {
    fn new(set_up: impl FnOnce(&mut Engine)) -> Self {
        let dir = tempfile::tempdir().expect("writable");
        let socket = dir.path().join("s");
        let fake = Fake::start(&socket);
        set_up(&mut fake.engine());
        Self {
            fake,
            socket,
            _dir: dir,
        }
    }

    /// Asks on a connection of its own and reads to its end.
    fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the fake listens");
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a time-out above zero");
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        )
        .expect("the fake reads");
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !is_whole(&answer) {
            match stream.read(&mut buffer) {
                Ok(0) => return format!("{} <end>", String::from_utf8_lossy(&answer)),
                Ok(n) => answer.extend(&buffer[..n]),
                Err(_) => return format!("{} <silence>", String::from_utf8_lossy(&answer)),
            }
        }
        String::from_utf8(answer).expect("UTF-8")
    }

    fn status(&self, line: &str) -> String {
        self.ask(line)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }

    fn read<T: serde::de::DeserializeOwned>(&self, line: &str) -> T {
        let answer = self.ask(line);
        let body = answer.split_once("\r\n\r\n").expect("an answer").1;
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{line}: {e}: {body}"))
    }

    fn names(&self) -> Vec<String> {
        self.fake.engine().docker.names().into_keys().collect()
    }
}

/// Whether an answer has all of the body that its head announces.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.contains("Transfer-Encoding: chunked") {
        return body.ends_with("\r\n0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "));
    length.is_none_or(|l| l.parse::<usize>().expect("a number") == body.len())
}

#[test]
fn the_client_library_reads_every_answer() {
    let digest = "r.example:5000/a/x@sha256:11";
    let bench = Bench::new(|e| {
        e.docker
            .image("v1", &["x:latest", "r.example:5000/a/x:v1", digest]);
        e.docker.image("nameless", &[]);
        e.docker.image("digest only", &["y@sha256:22"]);
        e.docker.run("c", "x");
        e.docker.container("c").health = Some("starting".into());
    });
    let version: SystemVersion = bench.read("GET /version");
    assert_eq!(version.api_version.as_deref(), Some("1.41"));
    let images: Vec<ImageSummary> = bench.read("GET /v1.41/images/json");
    let tags: Vec<usize> = images.iter().map(|i| i.repo_tags.len()).collect();
    assert_eq!(
        (images.len(), tags.iter().sum::<usize>()),
        (3, 3),
        "v1 has two, the nameless one has `<none>`: {images:?}"
    );
    let containers: Vec<ContainerSummary> = bench.read("GET /containers/json");
    assert_eq!(containers[0].image.as_deref(), Some("x"));
    let container: ContainerInspectResponse = bench.read("GET /containers/c/json");
    let state = container.state.expect("a state");
    assert!(state.started_at.is_some() && state.health.is_some());
    for name in [
        "x",
        "docker.io%2Flibrary%2Fx%3Alatest",
        "r.example:5000/a/x:v1",
        digest,
        container.image.as_deref().expect(""),
    ] {
        let image: ImageInspect = bench.read(&format!("GET /images/{name}/json"));
        assert_eq!(image.id, container.image, "{name}");
    }
    let removed: Vec<ImageDeleteResponseItem> =
        bench.read("DELETE /images/r.example:5000/a/x:v1?force=false&noprune=false");
    assert_eq!(
        removed.len(),
        2,
        "the tag takes its repository's digest along: {removed:?}"
    );
}

#[test]
fn it_removes_as_docker_does() {
    let bench = Bench::new(|e| {
        e.docker.image("used", &["x:latest", "x:v1"]);
        e.docker.image("two repositories", &["x:v2", "r/x:v2"]);
        e.docker.image("pulled", &["r/x:v3", "r/x@sha256:33"]);
        e.docker.run("c", "x:v1");
        e.docker.exit("c", 0);
    });
    let id = |label: &str| in_memory_engine::hex_id(label);
    let asked = [
        (
            "DELETE /images/x:latest",
            "200",
            "one of several names is untagged",
        ),
        (
            "DELETE /images/x:v1",
            "409",
            "the last name of an image that a stopped container uses",
        ),
        (
            &format!("DELETE /images/sha256:{}", id("used")),
            "409",
            "nor by id",
        ),
        (
            &format!("DELETE /images/{}", id("two repositories")),
            "409",
            "by id, with two names",
        ),
        (
            &format!("DELETE /images/{}", &id("pulled")[..12]),
            "200",
            "by short id, a tag and its digest",
        ),
        ("DELETE /images/x:v9", "404", "no such image"),
        ("DELETE /images/x:v2", "200", "untag"),
        ("DELETE /images/r/x:v2", "200", "the last name deletes"),
        (
            "DELETE /containers/c?v=false&force=false",
            "204",
            "a stopped container",
        ),
        ("DELETE /containers/c", "404", "once only"),
        (
            "DELETE /images/x:v1",
            "200",
            "no container uses it any more",
        ),
    ];
    for (line, status, why) in asked {
        assert_eq!(bench.status(line), status, "{line}: {why}");
    }
    assert!(bench.names().is_empty() && bench.fake.engine().docker.images.is_empty());
}

#[test]
fn a_tag_moves_and_leaves_its_image_nameless_and_its_containers_with_a_bare_id() {
    let bench = Bench::new(|e| {
        e.docker.image("v1", &["x:latest"]);
        e.docker.image("v2", &["r/x:v2"]);
        e.docker.run("c", "x:latest");
    });
    assert_eq!(bench.status("DELETE /containers/c"), "409", "it runs");
    assert_eq!(
        bench.status("POST /images/r%2Fx%3Av2/tag?repo=x&tag=latest"),
        "201"
    );
    assert_eq!(
        bench.status("POST /images/nowhere/tag?repo=x&tag=latest"),
        "404"
    );
    let containers: Vec<ContainerSummary> = bench.read("GET /containers/json?all=true");
    assert_eq!(containers[0].image, containers[0].image_id);
    let images: Vec<ImageSummary> = bench.read("GET /images/json");
    let old = images
        .iter()
        .find(|i| Some(&i.id) == containers[0].image_id.as_ref())
        .expect("it stays");
    assert_eq!(old.repo_tags, ["<none>:<none>"]);
    bench.fake.engine().docker.exit("c", 1);
    let running: Vec<ContainerSummary> = bench.read("GET /containers/json");
    assert!(
        running.is_empty(),
        "only with `all` are stopped ones listed"
    );
}

#[test]
fn every_fault_looks_as_it_is_called() {
    let cases = [
        (
            Fault::Status(500, "boom"),
            "HTTP/1.1 500",
            r#"{"message":"boom"}"#,
        ),
        (Fault::Body("junk"), "HTTP/1.1 200", "junk"),
        (Fault::Truncated, "HTTP/1.1 200", "<end>"),
        (Fault::StalledHeaders, "", "<silence>"),
        (Fault::StalledBody, "HTTP/1.1 200", "<silence>"),
        (Fault::Dripping, "HTTP/1.1 200", "\r\n\r\n[ <silence>"),
        (Fault::Closed, "", "<end>"),
        (Fault::Trickle, "H", "H <silence>"),
        (Fault::LongHead, "HTTP/1.1 200", "x\r\n <end>"),
        (endless(true), "HTTP/1.1 200", "[\r\n <end>"),
        (endless(false), "HTTP/1.1 200", "["),
    ];
    for (fault, start, end) in cases {
        let bench = Bench::new(|e| {
            e.docker.image("v1", &["x:latest"]);
            e.fail_nth(Route::ListImages, 2, fault);
        });
        assert_eq!(
            bench.status("GET /images/json"),
            "200",
            "the first is not spoilt"
        );
        let answer = bench.ask("GET /images/json");
        let fits = answer.trim_start().starts_with(start) && answer.ends_with(end);
        assert!(fits && !is_sound_list(&answer), "{fault:?}: {answer}");
        assert_eq!(bench.status("GET /images/json"), "200", "nor is the third");
    }
}

fn endless(chunked: bool) -> Fault {
    let bytes = 128 * 1024;
    Fault::Endless { bytes, chunked }
}

fn is_sound_list(answer: &str) -> bool {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str::<Vec<ImageSummary>>(body).is_ok()
}

#[test]
fn hooks_run_at_their_moment_and_requests_are_recorded() {
    let bench = Bench::new(|e| {
        e.docker.image("v1", &["x:v1"]);
        e.before(Route::InspectImage, 2, |e| {
            e.docker.images.clear();
        });
    });
    assert_eq!(bench.status("GET /images/x:v1/json"), "200");
    assert_eq!(
        bench.status("GET /images/x:v1/json"),
        "404",
        "the hook ran before the second"
    );
    bench.fake.engine().after_lists(|e| {
        e.docker.image("v2", &["x:v2"]);
    });
    for (line, names) in [
        ("GET /images/json", 0),
        ("GET /images/json", 0),
        ("GET /containers/json", 0),
        ("GET /_ping", 1),
    ] {
        bench.ask(line);
        assert_eq!(bench.names().len(), names, "{line}");
    }
    let log = bench.fake.engine().take_log();
    assert_eq!(log.len(), 6);
    assert!(log.iter().all(|r| !r.is_mutation()), "{log:?}");
}

#[test]
fn a_watcher_sees_each_request_twice_and_may_silence_the_engine() {
    for (silent_at, is_tagged) in [(Moment::Before, false), (Moment::After, true)] {
        let bench = Bench::new(|e| {
            e.docker.image("v1", &["x:v1"]);
            e.watch(move |moment, request, docker| {
                let is_done = docker.names().contains_key("y:v1");
                assert_eq!(is_done, moment == Moment::After && request.is_mutation());
                moment != silent_at || !request.is_mutation()
            });
        });
        assert_eq!(bench.status("GET /images/x:v1/json"), "200");
        let answer = bench.ask("POST /images/x:v1/tag?repo=y&tag=v1");
        assert_eq!(answer, " <silence>", "{silent_at:?}");
        assert_eq!(bench.names().contains(&"y:v1".to_owned()), is_tagged);
        bench.fake.engine().heal();
        assert_eq!(bench.status("GET /images/json"), "200");
    }
}

#[test]
fn offences_are_noticed_and_a_newer_api_is_refused() {
    let bench = Bench::new(|e| {
        e.docker.image("v1", &["x:v1"]);
    });
    assert_eq!(bench.status("GET /v1.53/images/json"), "400");
    for line in [
        "DELETE /images/x:v1?force=true",
        "DELETE /v1.41/containers/c?v=1&force=0",
        "POST /images/prune",
        "GET /events",
    ] {
        bench.ask(line);
        assert_eq!(bench.fake.engine().take_offences().len(), 1, "{line}");
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let bench = Bench::new(|_| {});
    let mut stream = UnixStream::connect(&bench.socket).expect("the fake listens");
    for _ in 0..3 {
        stream
            .write_all(b"POST /images/x/tag?repo=y HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
            .expect("it reads");
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, b"HTTP/1.1 404");
        while !answer.ends_with(b"x:latest\"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the rest of it");
            answer.extend(byte);
        }
    }
    assert_eq!(bench.fake.engine().take_log().len(), 3);
}

#[test]
#[should_panic(expected = "must never be made")]
fn dropping_the_fake_judges_the_requests() {
    let bench = Bench::new(|_| {});
    bench.ask("DELETE /images/x?force=1");
}

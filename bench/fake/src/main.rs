//! The engine in memory (`tests/in-memory`) behind a socket that costs next to nothing, so that an
//! engine's own cost does not hide the cost of those who ask.
//!
//! ```text
//! fake SOCKET IMAGES CONTAINERS
//! ```
//!
//! Everything belongs to one workload: `bench:v0` is also `bench:latest`, and the container `bench`
//! runs it; each other container has ended, and used an image of its own. The answers are made
//! once, and go out in one write. Prints the bytes of the two lists when it listens. Ends when
//! standard input does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use in_memory_engine::{Answer, Docker, Image, hex_id};

/// The answers, with their heads; those about one container by its id.
struct Answers {
    images: Vec<u8>,
    containers: Vec<u8>,
    inspects: HashMap<String, Vec<u8>>,
    missing: Vec<u8>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, images, containers] = arguments.as_slice() else {
        return Err(Error::other("usage: fake SOCKET IMAGES CONTAINERS"));
    };
    let count = |text: &str| text.parse().map_err(Error::other);
    let docker = host(count(images)?, count(containers)?);
    let (images, containers) = (docker.list_images(), docker.list_containers(true));
    let listener = UnixListener::bind(socket)?;
    println!("{} {}", images.1.len(), containers.1.len());
    let ids = docker.containers.iter().map(|container| &container.id);
    let answers = Arc::new(Answers {
        images: sent(&images),
        containers: sent(&containers),
        inspects: ids
            .map(|id| (id.clone(), sent(&docker.inspect_container(id))))
            .collect(),
        missing: sent(&docker.inspect_container("none")),
    });
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || serve(client, &answers));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// So many images, and so many containers of them.
fn host(images: usize, containers: usize) -> Docker {
    let mut docker = Docker::default();
    for n in 0..images {
        let id = format!("sha256:{}", hex_id(&format!("image {n}")));
        let digest = hex_id(&format!("manifest {n}"));
        let image = Image {
            tags: vec![format!("bench:v{n}")],
            digests: vec![format!("registry.example/bench@sha256:{digest}")],
            size_bytes: 123_456_789,
            ..Image::default()
        };
        docker.images.insert(id, image);
    }
    docker.tag("bench:v0", "bench", "latest");
    docker.run("bench", "bench:v0");
    for n in 1..containers {
        let name = format!("k8s_bench_bench-{n}_default_0");
        let container = docker.create(&name, &format!("bench:v{}", n % images));
        let labels = [
            ("container.name", "bench"),
            ("pod.name", &format!("bench-{n}")),
            ("pod.namespace", "default"),
        ];
        container.labels = labels
            .map(|(key, value)| (format!("io.kubernetes.{key}"), value.to_owned()))
            .into();
        docker.start(&name);
        docker.exit(&name, 0);
    }
    docker
}

/// As Go's server sends an answer: one chunk.
fn sent((status, body): &Answer) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} Some Reason\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
         Docker-Experimental: false\r\nOstype: linux\r\nServer: Docker/20.10.24+dfsg1 (linux)\r\n\
         Date: Sun, 22 Nov 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
    .into_bytes()
}

fn serve(client: UnixStream, answers: &Answers) -> Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let answer = if path.contains("/images/json") {
            &answers.images
        } else if path.contains("/containers/json") {
            &answers.containers
        } else {
            let id = path.split('/').rev().nth(1).unwrap_or_default(); // /v1.41/containers/<id>/json
            answers.inspects.get(id).unwrap_or(&answers.missing)
        };
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {
            head.clear();
        }
        reader.get_mut().write_all(answer)?;
    }
}

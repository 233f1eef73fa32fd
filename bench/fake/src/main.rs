//! An engine that answers from memory, so that an engine's own cost does not hide the cost of those
//! who ask.
//!
//! ```text
//! fake SOCKET IMAGES CONTAINERS
//! ```
//!
//! Everything belongs to one workload: `bench:v0` is also `bench:latest`, and the container `bench`
//! runs it; each other container has ended, and used an image of its own. The answers have the
//! shape and the size of Docker's, are made once, and go out in one write. Prints the bytes of the
//! two lists when it listens. Ends when standard input does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

/// The answers, with their heads; the containers by their ids.
struct Answers {
    images: Vec<u8>,
    containers: Vec<u8>,
    inspects: HashMap<String, Vec<u8>>,
    missing: Vec<u8>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, images, containers] = arguments.as_slice() else {
        return Err(std::io::Error::other(
            "usage: fake SOCKET IMAGES CONTAINERS",
        ));
    };
    let count = |text: &str| text.parse().map_err(std::io::Error::other);
    let (image_count, container_count) = (count(images)?, count(containers)?);
    let images = images_json(image_count);
    let containers = containers_json(container_count);
    let listener = UnixListener::bind(socket)?;
    println!("{} {}", images.len(), containers.len());
    let inspect = |n| (container_id(n), chunked(&inspect_json(n)));
    let answers = Arc::new(Answers {
        images: chunked(&images),
        containers: chunked(&containers),
        inspects: (0..container_count).map(inspect).collect(),
        missing: b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"message\":\"no such\"}"
            .to_vec(),
    });
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || serve(client, &answers));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
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

/// As Go's server sends a list: one chunk.
fn chunked(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nDocker-Experimental: false\r\n\
         Ostype: linux\r\nServer: Docker/20.10.24+dfsg1 (linux)\r\nDate: Sun, 22 Nov 2026 00:00:00 GMT\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
    .into_bytes()
}

fn images_json(images: usize) -> String {
    let mut json = String::from("[");
    for n in 0..images {
        let comma = if n == 0 { "" } else { "," };
        let latest = if n == 0 { "\"bench:latest\"," } else { "" };
        let _ = write!(
            json,
            "{comma}{{\"Containers\":-1,\"Created\":1790000000,\"Id\":\"{}\",\"Labels\":null,\"ParentId\":\"\",\
             \"RepoDigests\":[\"registry.example/bench@{}\"],\"RepoTags\":[{latest}\"bench:v{n}\"],\"SharedSize\":-1,\
             \"Size\":123456789,\"VirtualSize\":123456789}}",
            image_id(n),
            digest(n),
        );
    }
    json + "]\n"
}

fn containers_json(containers: usize) -> String {
    let mut json = String::from("[");
    for n in 0..containers {
        let comma = if n == 0 { "" } else { "," };
        let name = container_name(n);
        let (state, status) = if n == 0 {
            ("running", "Up 2 hours")
        } else {
            ("exited", "Exited (0) 2 hours ago")
        };
        let _ = write!(
            json,
            "{comma}{{\"Id\":\"{}\",\"Names\":[\"/{name}\"],\"Image\":\"bench:v{n}\",\"ImageID\":\"{}\",\
             \"Command\":\"/usr/bin/supervisord\",\"Created\":1790000000,\"Ports\":[],\
             \"Labels\":{{\"io.kubernetes.container.name\":\"bench\",\"io.kubernetes.pod.name\":\"bench-{n}\",\
             \"io.kubernetes.pod.namespace\":\"default\"}},\"State\":\"{state}\",\"Status\":\"{status}\",\
             \"HostConfig\":{{\"NetworkMode\":\"none\"}},\"NetworkSettings\":{{\"Networks\":{{\"none\":{{\
             \"IPAMConfig\":null,\"Links\":null,\"Aliases\":null,\"NetworkID\":\"{}\",\"EndpointID\":\"\",\
             \"Gateway\":\"\",\"IPAddress\":\"\",\"IPPrefixLen\":0,\"IPv6Gateway\":\"\",\"GlobalIPv6Address\":\"\",\
             \"GlobalIPv6PrefixLen\":0,\"MacAddress\":\"\",\"DriverOpts\":null}}}}}},\"Mounts\":[]}}",
            container_id(n),
            image_id(n),
            container_id(0),
        );
    }
    json + "]\n"
}

fn inspect_json(n: usize) -> String {
    let is_running = n == 0;
    let (status, finished_at) = if is_running {
        ("running", "0001-01-01T00:00:00Z")
    } else {
        ("exited", "2026-11-22T00:01:00Z")
    };
    format!(
        "{{\"Id\":\"{}\",\"Created\":\"2026-11-22T00:00:00Z\",\"State\":{{\"Status\":\"{status}\",\
         \"Running\":{is_running},\"StartedAt\":\"2026-11-22T00:00:00Z\",\"FinishedAt\":\"{finished_at}\",\
         \"ExitCode\":0}},\"Image\":\"{}\",\"Name\":\"/{}\"}}\n",
        container_id(n),
        image_id(n),
        container_name(n),
    )
}

fn container_name(n: usize) -> String {
    if n == 0 {
        "bench".to_owned()
    } else {
        format!("k8s_bench_bench-{n}_default_0")
    }
}

/// Ids spread over their whole range, as digests do.
fn image_id(n: usize) -> String {
    format!("sha256:{}", hex(n, 0x9e37_79b9_7f4a_7c15))
}

fn digest(n: usize) -> String {
    format!("sha256:{}", hex(n, 0xd134_2543_de82_ef95))
}

fn container_id(n: usize) -> String {
    hex(n, 0xaf25_1af3_b0f0_25b5)
}

fn hex(n: usize, factor: u64) -> String {
    let start = (n as u64 + 1).wrapping_mul(factor);
    (0..4u32).fold(String::new(), |text, word| {
        text + &format!("{:016x}", start.rotate_left(16 * word))
    })
}

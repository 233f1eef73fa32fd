//! What is read of an answer, and what is none.

use super::*;

const IMAGE: &str = r#"{"Id":"sha256:aa","RepoTags":["x:v1"],"RepoDigests":null,"Size":5}"#;
const CONTAINER: &str = r#"{"Id":"c","Names":["/app"],"Image":"x:v1","ImageID":"sha256:aa","State":"running",
    "Created":7,"Labels":{}}"#;

fn images(list: &str) -> anyhow::Result<Vec<Image>> {
    parse_images(list.as_bytes(), &[])
}

fn container(json: &str) -> Container {
    let list = parse_containers(format!("[{json}]").as_bytes());
    list.unwrap_or_else(|error| panic!("{error:#}: {json}"))
        .remove(0)
}

#[track_caller]
fn names(image: &Image) -> Vec<String> {
    image.references.iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_without_its_names_is_half_an_answer() {
    let named = images(&format!("[{IMAGE}]")).unwrap();
    assert_eq!(named[0].references, [Reference::parse("x:v1").unwrap()]);
    assert_eq!((named[0].unparsed_names, named[0].size_bytes), (0, 5));
    for (kept, whole) in [
        (IMAGE.replace(r#"["x:v1"]"#, "null"), true),
        (IMAGE.replace(r#"["x:v1"]"#, "[]"), true),
        (IMAGE.replace(r#"["x:v1"]"#, "[null]"), true),
        (IMAGE.replace(r#""RepoTags":["x:v1"],"#, ""), false),
        (IMAGE.replace(r#""RepoDigests":null,"#, ""), false),
        (IMAGE.replace(r#""x:v1""#, "7"), false),
        (IMAGE.replace(r#""sha256:aa""#, "null"), false),
        (IMAGE.replace(r#""sha256:aa""#, r#""""#), false),
    ] {
        let images = images(&format!("[{kept}]"));
        assert_eq!(images.is_ok(), whole, "{kept}");
        assert!(images.is_ok_and(|i| i[0].is_nameless()) || !whole, "{kept}");
    }
}

#[test]
fn names_are_the_same_beside_others() {
    let all = [
        "x:v1",
        "reg.example/x:v1",
        "x",
        "library/x:v1",
        "X:v1",
        "xy:v1",
        "x:v1@sha256:1",
    ];
    let mut list = Vec::new();
    for round in 0..2 {
        for (n, name) in all.iter().enumerate() {
            let id = format!("sha256:{round}{n}");
            list.push(IMAGE.replace("x:v1", name).replace("sha256:aa", &id));
        }
    }
    let images = images(&format!("[{}]", list.join(","))).unwrap();
    for (image, name) in images.iter().zip(all.iter().cycle()) {
        let alone: Vec<_> = Reference::parse(name).into_iter().collect();
        assert_eq!(image.references, alone, "{name}");
        let printed: Vec<_> = alone.iter().map(ToString::to_string).collect();
        assert_eq!(names(image), printed, "{name}");
    }
    assert_eq!(images.len(), 2 * all.len());
}

/// As with images: what is listed first is what it is.
#[test]
fn one_container_that_is_listed_twice_is_one() {
    let of = |id: char, state: &str| {
        format!(
            r#"{{"Id":"{}","Names":["/x"],"ImageID":"sha256:aa","State":"{state}"}}"#,
            id.to_string().repeat(64)
        )
    };
    let list = [of('b', "running"), of('c', "exited"), of('b', "running")];
    let read = parse_containers(format!("[{}]", list.join(",")).as_bytes()).unwrap();
    let ids: Vec<_> = read.iter().map(|c| c.id.to_string()).collect();
    assert_eq!(ids, ["b".repeat(64), "c".repeat(64)]);
}

/// Docker lists an image of several platforms once for each (moby/moby#45948), and a digest among
/// the tags (#48063).
#[test]
fn one_image_that_is_listed_twice_is_one_with_each_name_once() {
    let digest = format!("reg.example/x@sha256:{}", "1".repeat(64));
    let of = |id: &str, tags: &[&str], digests: &[&str], size: i64| {
        format!(r#"{{"Id":"{id}","RepoTags":{tags:?},"RepoDigests":{digests:?},"Size":{size}}}"#)
    };
    let list = [
        of(
            "sha256:aa",
            &["x:v1", "x:v1", "docker.io/library/x:v1", &digest],
            &[&digest],
            5,
        ),
        of("sha256:bb", &["y:v1"], &[], 7),
        of("sha256:aa", &["x:v1", "x:v2"], &[&digest], 9),
        of(
            "sha256:aa",
            &["<none>:<none>", "NO NAME"],
            &["<none>@<none>"],
            -1,
        ),
    ];
    let images = images(&format!("[{}]", list.join(","))).unwrap();
    let told: Vec<_> = images
        .iter()
        .map(|image| (names(image), image.size_bytes, image.unparsed_names))
        .collect();
    let once = vec!["x:v1".to_owned(), digest, "x:v2".to_owned()];
    assert_eq!(told, [(once, 9, 1), (vec!["y:v1".to_owned()], 7, 0)]);
}

#[test]
fn many_names_of_one_image_are_told_apart_in_time() {
    let tags: Vec<String> = (0..40_000).map(|n| format!("x:v{}", n % 20_000)).collect();
    let list = format!(r#"[{{"Id":"sha256:aa","RepoTags":{tags:?},"RepoDigests":[]}}]"#);
    let images = images(&list).unwrap();
    assert_eq!(images[0].references.len(), 20_000);
    assert_eq!(names(&images[0])[..2], ["x:v0", "x:v1"]);
}

#[test]
fn a_size_is_for_people_and_may_be_anything() {
    for (size, bytes) in [
        ("5", 5),
        ("-1", 0),
        ("null", 0),
        ("1.5", 0),
        ("\"5\"", 0),
        ("[5]", 0),
        ("{\"a\":5}", 0),
        ("99999999999999999999", 0),
        ("9223372036854775807", u64::MAX / 2),
    ] {
        let list = format!("[{}]", IMAGE.replace(":5", &format!(":{size}")));
        assert_eq!(images(&list).unwrap()[0].size_bytes, bytes, "{size}");
    }
    let without = format!("[{}]", IMAGE.replace(r#","Size":5"#, ""));
    assert_eq!(images(&without).unwrap()[0].size_bytes, 0);
}

#[test]
fn of_an_images_labels_those_are_read_that_are_wanted() {
    let labels = |labels: &str, wanted: &[&str]| {
        let list = format!(
            "[{}]",
            IMAGE.replace(":5", &format!(":5,\"Labels\":{labels}"))
        );
        let found = parse_images(list.as_bytes(), wanted).unwrap();
        found[0].labels.clone().into_iter().collect::<Vec<_>>()
    };
    let all = r#"{"version":"1.2","other":"x","odd":null,"odder":[7]}"#;
    let version = [("version".to_owned(), "1.2".to_owned())];
    assert_eq!(
        labels(all, &["version", "odd", "odder", "missing"]),
        version
    );
    assert_eq!(labels(all, &[]), []);
    assert_eq!(labels("null", &["version"]), []);
}

/// What nobody reads may be anything, and what is read may be written in any way that JSON knows.
#[test]
fn what_is_not_read_does_not_matter() {
    let odd = r#"{"Id":"c","Names":["\/na\u006de"],"Image":"x:v1","ImageID":"sha256:aa","State":"running",
        "Created":7,"Labels":{"a":[[]],"tagkeeper.pin":"app"},"Ports":{"a":1e9},"Id2":null}"#;
    let listed = container(odd);
    assert_eq!(listed.names, ["name"]);
    assert_eq!(listed.pin.map(|pin| pin.workload).as_deref(), Some("app"));
    assert_eq!(listed.state, ContainerState::Running);
    let broken = odd.replace("1e9", "1e");
    assert!(parse_containers(format!("[{broken}]").as_bytes()).is_err());
}

#[test]
fn the_exit_code_is_read_where_the_list_tells_it() {
    for (status, code) in [
        (r#""Exited (0) 2 hours ago""#, Some(0)),
        (r#""Exited (255) Less than a second ago""#, Some(255)),
        (r#""Exited""#, None),
        (r#""Exited (?) 2 hours ago""#, None),
        (r#""Up 2 hours (healthy)""#, None),
        (r#""Restarting (1) 5 seconds ago""#, None),
        ("0", None),
        ("null", None),
    ] {
        let listed =
            format!(r#"{{"Id":"c","ImageID":"sha256:aa","State":"exited","Status":{status}}}"#);
        assert_eq!(container(&listed).exit_code, code, "{status}");
    }
    assert_eq!(container(r#"{"Id":"c","ImageID":""}"#).exit_code, None);
}

#[test]
fn a_container_needs_an_id_and_a_state_that_is_a_word_and_nothing_else() {
    let bare = container(r#"{"Id":"c","ImageID":""}"#);
    assert_eq!(
        (bare.image, bare.reference, bare.names),
        (None, None, Vec::new())
    );
    assert_eq!(bare.state, ContainerState::Unknown("".into()));
    let nulls = r#"{"Id":"c","Names":null,"Image":null,"ImageID":null,"State":null,"Created":null,"Labels":null}"#;
    assert_eq!(container(nulls).name(), "c");
    for created in [
        "-62135596800",
        "253402300799",
        "null",
        "1e30",
        "\"yesterday\"",
        "[]",
    ] {
        container(&CONTAINER.replace(":7", &format!(":{created}")));
    }
    for none in [
        CONTAINER.replace(r#""Id":"c""#, r#""Id":"""#),
        CONTAINER.replace(r#""Id":"c""#, r#""Id":null"#),
        CONTAINER.replace(r#""running""#, r#"{"Status":"running"}"#),
        CONTAINER.replace(r#""ImageID":"sha256:aa","#, ""),
    ] {
        assert!(
            parse_containers(format!("[{none}]").as_bytes()).is_err(),
            "{none}"
        );
    }
}

/// moby/moby#14342, #46302: its image is gone for the engine, and the container is not.
#[test]
fn a_container_without_an_image_uses_none_and_the_list_is_read() {
    for id in [r#""""#, "null"] {
        let imageless = CONTAINER.replace(r#""sha256:aa""#, id);
        let list = format!("[{imageless},{}]", CONTAINER.replace(r#""c""#, r#""d""#));
        let listed = parse_containers(list.as_bytes()).unwrap();
        assert_eq!(listed[0].image, None);
        assert!(listed[1].uses(&ImageId::new("sha256:aa")));
        assert!(!listed[0].uses(&ImageId::new("")));
    }
}

#[test]
fn only_a_name_without_a_second_slash_is_the_containers_own() {
    let linked = CONTAINER.replace(
        r#"["/app"]"#,
        r#"["/web/app","/db",null,"","/","podman-name","/a/b/c"]"#,
    );
    assert_eq!(container(&linked).names, ["db", "podman-name"]);
}

#[test]
fn an_id_where_a_reference_is_expected_is_none() {
    let id = "ab".repeat(32);
    let with = |text: &str| {
        let json = CONTAINER.replace("sha256:aa", &format!("sha256:{id}"));
        container(&json.replace("x:v1", text))
            .reference
            .map(|name| name.to_string())
    };
    for text in [
        &id[..12],
        &id[..7],
        id.as_str(),
        "",
        "0123456789ab",
        &"01".repeat(32),
        "sha256:01",
        "<none>",
    ] {
        assert_eq!(with(text), None, "{text}");
    }
    let digest = format!("reg.example/x@sha256:{id}");
    for text in ["x:v1", "decade/app:v1", &digest] {
        assert_eq!(with(text).as_deref(), Some(text));
    }
}

#[test]
fn a_state_is_read_in_each_engines_words() {
    for (word, state) in [
        ("created", ContainerState::Created),
        ("configured", ContainerState::Created),
        ("initialized", ContainerState::Created),
        ("exited", ContainerState::Exited),
        ("stopped", ContainerState::Exited),
        ("stopping", ContainerState::Stopping),
        ("hibernated", ContainerState::Unknown("hibernated".into())),
        ("", ContainerState::Unknown("".into())),
    ] {
        assert_eq!(
            container(&CONTAINER.replace("running", word)).state,
            state,
            "{word}"
        );
    }
    let odd = container(&CONTAINER.replace("running", r"up\u001b[2J\nand \u202ehidden"));
    assert_eq!(odd.state.as_str(), "up\u{fffd}[2J and \u{fffd}hidden");
    assert_eq!(ContainerState::Unknown("".into()).as_str(), "unknown");
}

#[test]
fn more_names_than_a_host_has_are_no_list() {
    let tags = |n: usize| vec![r#""x:v""#; n].join(",");
    let list = |n| {
        format!(
            r#"[{{"Id":"sha256:aa","RepoTags":[{}],"RepoDigests":null}}]"#,
            tags(n)
        )
    };
    assert!(images(&list(1000)).is_ok());
    let refused = images(&list(MAX_NAMES + 1)).unwrap_err();
    assert!(refused.to_string().contains("names"), "{refused:#}");
    let names = vec![r#""/x""#; MAX_NAMES + 1].join(",");
    let list = format!("[{}]", CONTAINER.replace(r#""/app""#, &names));
    assert!(parse_containers(list.as_bytes()).is_err());
}

#[test]
fn labels_beyond_measure_are_not_looked_at() {
    let labelled = |padding: &str| {
        let list = format!(
            r#"[{{"Id":"sha256:aa","RepoTags":[],"RepoDigests":[],"Labels":{{"v":"1","pad":"{padding}"}}}}]"#
        );
        let images = parse_images(list.as_bytes(), &["v"]).unwrap();
        images[0].labels.get("v").cloned()
    };
    assert_eq!(labelled("x").as_deref(), Some("1"));
    assert_eq!(labelled(&"x".repeat(MAX_LABELS)), None);
}

/// No engine takes such names; what claims to be one must not write a line of the log, nor fill it.
#[test]
fn a_name_that_no_container_can_have_is_quoted_in_one_line() {
    let named = |name: &str| {
        let name = serde_json::to_string(name).unwrap();
        container(&CONTAINER.replace(r#""/app""#, &name))
            .names
            .remove(0)
    };
    for usual in ["app", "k8s_app_pod-1.2", &"x".repeat(255)] {
        assert_eq!(named(&format!("/{usual}")), usual);
    }
    assert_eq!(
        named("evil\nFORGED \u{1b}[2J"),
        r#""evil\nFORGED \u{1b}[2J""#
    );
    assert_eq!(named(" app"), r#"" app""#);
    assert_eq!(named("app\0"), r#""app\0""#);
    let long = named(&"x".repeat(3 << 20));
    assert_eq!(long.chars().count(), 400);
    assert!(long.starts_with("\"xxx"), "{long}");
}

#[test]
fn pins_and_one_off_containers_are_known_by_their_labels() {
    let labelled = |labels: &str| container(&CONTAINER.replace("{}", labels));
    let pin = |workload: &str, instance: Option<&str>| PinLabel {
        workload: workload.to_owned(),
        instance: instance.map(str::to_owned),
    };
    for (labels, expected) in [
        ("{}", None),
        (r#"{"tagkeeper.instance":"i"}"#, None),
        (r#"{"tagkeeper.pin":null}"#, None),
        (r#"{"tagkeeper.pin":"app"}"#, Some(pin("app", None))),
        (
            r#"{"tagkeeper.instance":"i","tagkeeper.pin":"app"}"#,
            Some(pin("app", Some("i"))),
        ),
    ] {
        assert_eq!(labelled(labels).pin, expected, "{labels}");
    }
    for (value, one_off) in [
        (r#""True""#, true),
        (r#""true""#, true),
        (r#""False""#, false),
        (r#""""#, false),
        ("null", false),
    ] {
        let labels = format!(r#"{{"com.docker.compose.oneoff":{value}}}"#);
        assert_eq!(labelled(&labels).one_off, one_off, "{value}");
    }
    let written: BTreeMap<_, _> = pin("app", Some("i")).labels().collect();
    let read = labelled(&serde_json::to_string(&written).unwrap());
    assert_eq!(read.pin, Some(pin("app", Some("i"))));
}

#[test]
fn a_text_that_is_no_utf8_is_no_answer() {
    let list = |id: &[u8]| [br#"[{"Id":""#, id, br#"","ImageID":"sha256:aa"}]"#].concat();
    assert!(parse_containers(&list(b"c")).is_ok());
    assert!(parse_containers(&list(b"\xff")).is_err());
}

/// What no engine sends: an error, in time, whose text is printed in a line.
#[test]
fn hostile_lists_are_errors() {
    let utf16: Vec<u8> = "[]".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let deep = "[".repeat(200_000);
    let deep_within = format!(r#"[{{"Id":"c","Ports":{}"#, "[".repeat(200_000));
    let many = format!("[{}]", vec![r#"{"Id":"c"}"#; MAX_ITEMS + 1].join(","));
    let many_images = format!("[{}]", vec![IMAGE; MAX_ITEMS + 1].join(","));
    let long_in_list = format!("[{long}]");
    for body in [
        deep.as_bytes(),
        deep_within.as_bytes(),
        long.as_bytes(),
        long_in_list.as_bytes(),
        many.as_bytes(),
        many_images.as_bytes(),
        &utf16,
        b"",
        b"{}",
        b"null",
        b"NaN",
        b"[NaN]",
        b"[] []",
        b"[",
        br#"[{"Id":"c","Created":1e999}]"#,
        br#"[{"Id":"sha256:aa","RepoTags":[],"RepoDigests":[],"Size":1e999}]"#,
    ] {
        let said = [
            parse_images(body, &[]).map(drop),
            parse_images(body, &["a"]).map(drop),
            parse_containers(body).map(drop),
        ];
        for error in said.into_iter().filter_map(Result::err) {
            assert!(clean(format_args!("{error:#}")).chars().count() <= 400);
        }
        assert!(parse_images(body, &[]).is_err() || parse_containers(body).is_err());
    }
}

/// As many as are taken, with ids that begin alike.
#[test]
fn ids_that_begin_alike_are_no_slower() {
    let item = |n: usize| IMAGE.replace("aa", &format!("{:064x}", n % 50_000));
    let list: Vec<String> = (0..MAX_ITEMS).map(item).collect();
    let images = images(&format!("[{}]", list.join(","))).unwrap();
    assert_eq!(images.len(), 50_000);
}

#[test]
fn an_inspect_tells_what_a_decision_reads_of_a_container() {
    let body = r#"{"Id":"c","Image":"sha256:aa","Created":"0001-01-01T00:00:00Z","Config":{"OpenStdin":true},
        "State":{"Status":"exited","StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"2026-01-01T00:01:30.5Z",
        "ExitCode":3,"Health":{"Status":"starting"}}}"#;
    let read = parse_container(body.as_bytes()).unwrap();
    assert_eq!(read.id, ContainerId::new("c"));
    assert_eq!(read.image, Some(ImageId::new("sha256:aa")));
    assert_eq!(read.state, ContainerState::Exited);
    assert_eq!(read.details.started_at, "2026-01-01T00:00:00Z");
    assert_eq!(read.details.ran_secs, Some(90));
    assert_eq!(read.details.exit_code, Some(3));
    assert_eq!(read.details.health, Some(Health::Starting));
    assert!(read.details.interactive);
}

#[test]
fn an_inspect_tells_what_a_decision_reads_of_an_image() {
    let volumes = r#","Config":{"Volumes":{"/data":{},"/log":null}}}"#;
    let body = format!("{}{volumes}", &IMAGE[..IMAGE.len() - 1]);
    let read = read_image(body.as_bytes()).unwrap();
    assert_eq!(read.volumes, ["/data", "/log"]);
    // The list says the same of it.
    assert_eq!(images(&format!("[{IMAGE}]")).unwrap(), [read.image]);
}

/// bollard's models refuse the whole answer for each of these words.
#[test]
fn a_word_that_nobody_knows_does_not_blind_an_inspect() {
    let body = |status: &str, health: &str, rest: &str| {
        format!(
            r#"{{"Id":"c","Image":"sha256:aa",{rest}"State":{{"Status":"{status}","StartedAt":"x","FinishedAt":null,
            "ExitCode":1e30,"Health":{health}}}}}"#
        )
    };
    let hibernated = ContainerState::Unknown("hibernated".into());
    let odd = r#""HostConfig":{"CgroupnsMode":"odd"},"#;
    for (status, health, rest, known) in [
        ("stopped", "null", "", ContainerState::Exited),
        ("hibernated", "null", "", hibernated),
        (
            "running",
            r#"{"Status":"convalescent"}"#,
            "",
            ContainerState::Running,
        ),
        ("running", "null", odd, ContainerState::Running),
    ] {
        let body = body(status, health, rest);
        let inspected = parse_container(body.as_bytes()).unwrap();
        assert_eq!(inspected.state, known, "{body}");
        let unwell = health.contains("convalescent").then_some(Health::Unhealthy);
        assert_eq!(inspected.details.health, unwell);
    }
}

/// Podman has an empty word where there is no health check; an answer without a word, or with
/// something else in its place, says nothing of one that there is.
#[test]
fn a_health_without_a_word_is_not_known_to_be_good() {
    for (health, known) in [
        ("null", None),
        (r#"{"Status":""}"#, None),
        (r#"{"Status":"none"}"#, None),
        ("{}", Some(Health::Unhealthy)),
        (r#"{"Status":null}"#, Some(Health::Unhealthy)),
        (r#"{"Status":7}"#, Some(Health::Unhealthy)),
    ] {
        let body = format!(
            r#"{{"Id":"c","Image":"sha256:aa","State":{{"Status":"running","StartedAt":"x","Health":{health}}}}}"#
        );
        let inspected = parse_container(body.as_bytes()).unwrap();
        assert_eq!(inspected.details.health, known, "{health}");
    }
}

#[test]
fn an_inspect_that_does_not_say_what_decisions_need_is_none() {
    let body = r#"{"Id":"c","Image":"sha256:aa","State":{"Status":"running","StartedAt":"x"}}"#;
    assert!(parse_container(body.as_bytes()).is_ok());
    for part in [
        r#""Id":"c","#,
        r#","StartedAt":"x""#,
        r#","State":{"Status":"running","StartedAt":"x"}"#,
    ] {
        let without = body.replace(part, "");
        assert!(parse_container(without.as_bytes()).is_err(), "{without}");
    }
    let imageless = body.replace("sha256:aa", "");
    assert_eq!(parse_container(imageless.as_bytes()).unwrap().image, None);
    assert!(parse_image(br#"{"RepoTags":["x:v1"]}"#).is_err());
    assert!(parse_image(br#"{"Id":"","RepoTags":["x:v1"]}"#).is_err());
}

/// With containerd's image store the images are where containerd has its data: below Docker's own,
/// unless it is the host's containerd.
#[test]
fn the_data_root_is_where_the_images_are() {
    let status = |kind: &str| format!(r#"[["driver-type","{kind}"]]"#);
    let snapshotter = status("io.containerd.snapshotter.v1");
    let overlay2 = r#"[["Backing Filesystem","extfs"]]"#.to_owned();
    let host = r#"{"Address":"/run/containerd/containerd.sock"}"#;
    let own = r#"{"Address":"/var/run/docker/containerd/containerd.sock"}"#;
    for (status, containerd, root) in [
        (&overlay2, host, "/data"),
        (&snapshotter, host, "/var/lib/containerd"),
        (&snapshotter, own, "/data"),
        (&snapshotter, "null", "/data"),
        (&"null".to_owned(), host, "/data"),
        (&"7".to_owned(), "7", "/data"),
    ] {
        let info = format!(
            r#"{{"DockerRootDir":"/data","DriverStatus":{status},"Containerd":{containerd}}}"#
        );
        assert_eq!(read_data_root(info.as_bytes()).unwrap(), root, "{info}");
    }
    assert_eq!(read_data_root(b"{}").unwrap(), "");
}

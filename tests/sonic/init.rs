//! `tagkeeper init --sonic` against a real Redis server with the table `FEATURE` of `CONFIG_DB`.

use rustix::process::Signal;

use crate::redis::Redis;
use crate::switch::Switch;

const CONFIG_DB: u32 = 4;

/// The features of a switch whose image was built with Kubernetes (`init_cfg.json.j2`), and one
/// more that somebody made.
fn config_db() -> Redis {
    let redis = Redis::start();
    for (name, state, per_asic, owner) in [
        ("bgp", "enabled", "True", "local"),
        ("database", "always_enabled", "True", "local"),
        ("eventd", "disabled", "False", "kube"),
        ("lldp", "enabled", "True", "kube"),
        ("pmon", "enabled", "False", "kube"),
        ("telemetry", "enabled", "False", "kube"),
    ] {
        let key = format!("FEATURE|{name}");
        let row = [
            "state",
            state,
            "has_per_asic_scope",
            per_asic,
            "set_owner",
            owner,
        ];
        redis.cli_in(CONFIG_DB, &[&["HSET", key.as_str()][..], &row].concat());
    }
    redis
}

/// Kubernetes has upgraded telemetry; the rest is as shipped, and pmon has not run yet.
fn switch() -> Switch {
    let switch = Switch::new("");
    for (feature, repository) in [
        ("telemetry", "docker-sonic-telemetry"),
        ("lldp", "docker-lldp"),
        ("pmon", "docker-platform-monitor"),
        ("bgp", "docker-fpm-frr"),
    ] {
        let latest = format!("{repository}:latest");
        switch.image(feature, &[&format!("{repository}:v1"), &latest]);
        if feature != "pmon" {
            switch.run(feature, &latest);
        }
    }
    switch.image("telemetry", &["registry.example/docker-sonic-telemetry:v1"]);
    switch.image(
        "telemetry v2",
        &["registry.example/docker-sonic-telemetry:v2"],
    );
    switch.stop(&["telemetry"]);
    switch.run(
        "k8s_telemetry_ds_sonic_0f5c2d1e_0",
        "registry.example/docker-sonic-telemetry:v2",
    );
    switch
}

const WANTED: &str = r#"
# /etc/tagkeeper/policy.d/eventd.toml
[workload.eventd]
# unsure: the engine has no latest that eventd could run; the repository is a guess
# unsure: no other repository here has its images; where does Kubernetes pull from?
# unsure: its state is 'disabled'
repository = "docker-eventd"
remotes = []
container = "eventd"
orchestrated = "k8s_eventd_*"
ready = ["/usr/lib/tagkeeper/ready/sonic"]  # needs the drop-in sonic.conf
version_label = "Tag"                       # what SONiC's build writes
hold = true                                 # until you have reviewed it

# /etc/tagkeeper/policy.d/lldp.toml
[workload.lldp]
# unsure: no other repository here has its images; where does Kubernetes pull from?
repository = "docker-lldp"
remotes = []
container = ["lldp", "lldp[0-9]*"]
orchestrated = "k8s_lldp_*"
ready = ["/usr/lib/tagkeeper/ready/sonic"]  # needs the drop-in sonic.conf
version_label = "Tag"                       # what SONiC's build writes
hold = true                                 # until you have reviewed it

# /etc/tagkeeper/policy.d/pmon.toml
[workload.pmon]
# unsure: no container was created from docker-platform-monitor:latest; what does the local service call its own?
# unsure: no other repository here has its images; where does Kubernetes pull from?
repository = "docker-platform-monitor"
remotes = []
container = "pmon"
orchestrated = "k8s_pmon_*"
ready = ["/usr/lib/tagkeeper/ready/sonic"]  # needs the drop-in sonic.conf
version_label = "Tag"                       # what SONiC's build writes
hold = true                                 # until you have reviewed it

# /etc/tagkeeper/policy.d/telemetry.toml
[workload.telemetry]
repository = "docker-sonic-telemetry"
remotes = ["registry.example/docker-sonic-telemetry"]
container = "telemetry"
orchestrated = "k8s_telemetry_*"
ready = ["/usr/lib/tagkeeper/ready/sonic"]  # needs the drop-in sonic.conf
version_label = "Tag"                       # what SONiC's build writes
hold = true                                 # until you have reviewed it

# Not owned by Kubernetes: bgp, database.
"#;

#[test]
fn a_drop_in_on_hold_for_each_feature_that_kubernetes_owns() {
    let (redis, switch) = (config_db(), switch());
    let option = format!("--sonic={}", redis.socket());
    let printed = switch
        .tagkeeper_without_policy(&["init", &option])
        .expect_code(0);
    let (head, drop_ins) = printed
        .stdout
        .split_at(printed.stdout.find("\n\n").expect("a head") + 1);
    assert!(head.contains("4 of 6 in CONFIG_DB"), "{head}");
    assert_eq!(drop_ins, WANTED);
    switch.host.set_policy(&printed.stdout);
    let checked = switch.tagkeeper(&["check"]).expect_code(0);
    assert!(checked.stdout.contains("4 workloads"), "{checked:#?}");
    assert!(printed.stderr.is_empty(), "{printed:#?}");
}

#[test]
fn a_server_that_is_not_there_or_hangs_is_unavailable() {
    let switch = switch();
    let asked = |socket: &str| {
        let option = format!("--sonic={socket}");
        switch
            .tagkeeper_without_policy(&["init", &option])
            .expect_code(69)
    };
    let gone = asked("/nowhere/redis.sock");
    assert!(
        gone.stderr
            .contains("failed to ask the Redis server at '/nowhere/redis.sock'"),
        "{gone:#?}"
    );
    assert!(
        gone.stderr
            .starts_with("error: --sonic is for SONiC switches"),
        "{gone:#?}"
    );
    assert_eq!(
        gone.stdout, "",
        "nothing is printed that looks like a policy"
    );
    let redis = config_db();
    redis.signal(Signal::STOP);
    let late = asked(&redis.socket());
    redis.signal(Signal::CONT);
    assert!(
        late.stderr.contains("failed to ask the Redis server"),
        "{late:#?}"
    );
}

#[test]
fn a_table_that_no_switch_has_is_refused() {
    let switch = switch();
    let redis = config_db();
    let fill = "for n = 1, 1001 do redis.call('HSET', 'FEATURE|' .. n, 'state', 'enabled') end";
    redis.answer_in(4, &["EVAL", fill, "0"]);
    let option = format!("--sonic={}", redis.socket());
    let refused = switch.tagkeeper_without_policy(&["init", &option]);
    let refused = refused.expect_code(69);
    assert!(refused.stderr.contains("a table of 10"), "{refused:#?}");
    assert_eq!(refused.stdout, "");
}

//! What several of these stories do, and no other test that plays in their scene.

use in_memory_engine::Docker;

/// The orchestrator replaces what it runs by v3.
pub(crate) fn deploy_v3(docker: &mut Docker) {
    docker.drop_container("k8s_app_1");
    docker.image("v3", &["reg.example/app:v3"]);
    docker.run("k8s_app_3", "reg.example/app:v3");
}

/// The words of a screen, wherever its lines break.
pub(crate) fn one_line(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

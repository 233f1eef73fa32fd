//! Plays a row: what is given, the call, and what is so afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tagkeeper::engine::{Answer, Docker, Engine, ImageName, Lists};
use tagkeeper_core::model::{ContainerId, ContainerState, ImageId, PinLabel, Reference};

use crate::grounds::{Family, Ground};
use crate::table::{Call, Fact, Given, How, Row, Said};
use in_memory_engine::hex_id;

const CALL: Duration = Duration::from_secs(30);

/// The images of a row by their labels.
type Ids = BTreeMap<&'static str, ImageId>;

/// What did not come out as the row says, if anything.
pub(crate) fn broken(
    ground: &mut impl Ground,
    family: Family,
    row: &Row,
) -> Result<Option<String>> {
    let expected = row.said[match family {
        Family::Graph => 0,
        Family::Containerd => 1,
        Family::Podman => 2,
    }];
    if expected == Said::NotPlayed {
        return Ok(None);
    }
    let ids = given(ground, row).with_context(|| format!("{}: before the call", row.what))?;
    let mut engine = Docker::connect(ground.socket(), CALL, CALL)?;
    let answer = call(&mut engine, ground, &ids, row.call);
    let said = match &answer {
        Ok(Answer::Done) => Said::Done,
        Ok(Answer::Deleted) => Said::Deleted,
        Ok(Answer::Gone) => Said::Gone,
        Ok(Answer::InUse(_)) => Said::InUse,
        Err(_) => Said::Failed,
    };
    let mut wrong = Vec::new();
    if said != expected {
        wrong.push(format!("{answer:?}, not {expected:?}"));
    }
    let lists = engine.observe(&[])?;
    for fact in row.then {
        let fact = match fact {
            Fact::But(other, _) if *other == family => continue,
            Fact::Only(one, _) if *one != family => continue,
            Fact::But(_, fact) | Fact::Only(_, fact) => fact,
            fact => fact,
        };
        if !is_so(&mut engine, ground, &ids, &lists, *fact)? {
            wrong.push(format!("not so: {fact:?}"));
        }
    }
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

fn given(ground: &mut impl Ground, row: &Row) -> Result<Ids> {
    let absent = ImageId::new(format!("sha256:{}", hex_id("absent")));
    let mut ids = Ids::from([("absent", absent)]);
    for given in row.given {
        let (label, id) = match *given {
            Given::Image(label, names) => (label, ground.image(label, names)?),
            Given::Pulled(label, names) => (label, ground.pulled(label, names)?),
            Given::Child(label, parent) => (label, ground.child(label, &ids[parent].to_string())?),
            Given::Container(name, image, how) => {
                ground.container(name, &ids[image].to_string(), how)?;
                continue;
            }
            Given::From(name, reference, how) => {
                let reference = ground.full(reference)?;
                ground.container(name, &reference, how)?;
                continue;
            }
        };
        ids.insert(label, ImageId::new(id));
    }
    Ok(ids)
}

fn reference(ground: &impl Ground, name: &str) -> Result<Reference> {
    let full = ground.full(name)?;
    Reference::parse(&full).map_err(|error| anyhow::anyhow!("{full}: {error:?}"))
}

fn call(engine: &mut Docker, ground: &impl Ground, ids: &Ids, call: Call) -> Result<Answer> {
    match call {
        Call::Tag(image, name) => engine.tag(&ids[image], &reference(ground, name)?),
        Call::Remove(name) => engine.remove_image(&ImageName::Reference(reference(ground, name)?)),
        Call::RemoveId(image) => engine.remove_image(&ImageName::Id(ids[image].clone())),
        Call::Pin(name, image) => {
            let label = PinLabel {
                workload: "contract".to_owned(),
                instance: None,
            };
            engine.create_pin(&ground.container_name(name), &label, &ids[image])
        }
        Call::RemoveContainer(name) => {
            let name = ground.container_name(name);
            let containers = engine.containers()?;
            let found = containers.iter().find(|c| c.names.contains(&name));
            let absent = ContainerId::new(hex_id("absent"));
            engine.remove_container(found.map_or(&absent, |c| &c.id))
        }
    }
}

/// Whether a fact is one, by the lists, and by an inspect where one is made.
fn is_so(
    engine: &mut Docker,
    ground: &impl Ground,
    ids: &Ids,
    lists: &Lists,
    fact: Fact,
) -> Result<bool> {
    let holds = |id: &ImageId| lists.images.iter().any(|image| image.id == *id);
    let by_name = |name: &str| {
        let name = ground.container_name(name);
        lists
            .containers
            .iter()
            .find(move |c| c.names.contains(&name))
    };
    Ok(match fact {
        Fact::Means(name, image) => {
            let name = reference(ground, name)?;
            let listed = lists.images.iter().find(|i| i.references.contains(&name));
            let found = engine.find_image(&ImageName::Reference(name))?;
            listed.is_some_and(|i| i.id == ids[image]) && found.is_some_and(|i| i.id == ids[image])
        }
        Fact::Unnamed(name) => {
            let name = reference(ground, name)?;
            let listed = lists.images.iter().any(|i| i.references.contains(&name));
            !listed && engine.find_image(&ImageName::Reference(name))?.is_none()
        }
        Fact::Held(image) => holds(&ids[image]),
        Fact::Lost(image) => {
            let found = engine.find_image(&ImageName::Id(ids[image].clone()))?;
            !holds(&ids[image]) && found.is_none()
        }
        Fact::Is(name, how, image) => by_name(name).is_some_and(|container| {
            let state = match how {
                How::Running => ContainerState::Running,
                How::Stopped => ContainerState::Exited,
                How::Created => ContainerState::Created,
            };
            container.state == state && container.image.as_ref() == Some(&ids[image])
        }),
        Fact::NoContainer(name) => by_name(name).is_none(),
        Fact::Shows(name, reference_of) => {
            let made_from = reference(ground, reference_of)?;
            by_name(name).is_some_and(|c| c.reference.as_ref() == Some(&made_from))
        }
        Fact::ShowsId(name) => by_name(name).is_some_and(|c| c.reference.is_none()),
        Fact::But(..) | Fact::Only(..) => anyhow::bail!("one in the other: {fact:?}"),
    })
}

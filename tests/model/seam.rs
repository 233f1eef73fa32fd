//! The model behind the program's own seams: the engine, the store, the witness. Faults strike here, and every change
//! is checked before it takes effect.

use std::cell::RefCell;

use anyhow::anyhow;
use tagkeeper::decide::Event as Told;
use tagkeeper::engine::{Answer, Engine, ImageName, Inspected};
use tagkeeper::image::{ImageId, Reference};
use tagkeeper::pass::Witness;
use tagkeeper::policy::WorkloadName;
use tagkeeper::state::{State, Store};
use tagkeeper::world::{Container, ContainerId, Disk, PinLabel, World};

use super::Model;
use super::step::{Event, Fault};

/// A seam of the program, with the model behind it.
pub(crate) struct Seam<'m>(pub(crate) &'m RefCell<Model>);

/// What a call is to the checks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Asks.
    Question,
    /// Lists the containers once more: the last word on who uses an image.
    Recheck,
    /// Changes the engine.
    Change,
    /// Saves.
    Save,
}

impl Model {
    /// One call to the outside: counted, struck by the fault, or carried out.
    fn call<T>(&mut self, call: Call, effect: impl FnOnce(&mut Self) -> T) -> anyhow::Result<T> {
        let number = self.calls;
        self.calls += 1;
        if self.killed {
            return Err(anyhow!("killed"));
        }
        match self.fault.clone() {
            Fault::Kill { call, after } if call == number => {
                if after {
                    effect(self);
                }
                self.killed = true;
                return Err(anyhow!("killed"));
            }
            Fault::Error { call: at, after } if at == number => {
                if after && call != Call::Save {
                    effect(self);
                }
                return Err(anyhow!("500"));
            }
            Fault::Meanwhile {
                call: at,
                ref event,
            } if at == number => {
                self.happen(event);
                // Before the first look it is as if it had happened before the pass.
                self.interfered = number > 0;
                if matches!(event, Event::Reboot { .. }) {
                    self.killed = true;
                    return Err(anyhow!("killed"));
                }
                // What happens after the last question cannot be known to whoever acts on the answer.
                self.names_raced |= call == Call::Change || call == Call::Recheck;
                self.users_raced |= call == Call::Change;
                if number > 0 {
                    self.sample(true);
                }
            }
            _ => {}
        }
        Ok(effect(self))
    }

    fn change(&mut self, effect: impl FnOnce(&mut Self) -> Answer) -> anyhow::Result<Answer> {
        let refused =
            matches!(self.fault, Fault::Refuse { call } if call == self.calls) && !self.killed;
        if refused {
            self.calls += 1;
            return Ok(Answer::InUse("it says so".to_owned()));
        }
        let answer = self.call(Call::Change, |model| {
            model.changed = true;
            model.stamp += 1;
            let tagged = model.tagged_entries();
            let answer = effect(model);
            model.check_entries_keep_a_name(&tagged);
            answer
        });
        self.names_raced = false;
        self.users_raced = false;
        answer
    }
}

impl Engine for Seam<'_> {
    fn observe(&mut self, _: &[&str]) -> anyhow::Result<World> {
        self.0.borrow_mut().call(Call::Question, |model| {
            model.moved = Default::default();
            model.sample(false);
            model.host.world()
        })
    }

    fn containers(&mut self) -> anyhow::Result<Vec<Container>> {
        self.0
            .borrow_mut()
            .call(Call::Recheck, |model| model.host.containers())
    }

    fn inspect_container(&mut self, id: &ContainerId) -> anyhow::Result<Option<Inspected>> {
        self.0
            .borrow_mut()
            .call(Call::Question, |model| model.host.inspect(id))
    }

    fn disk(&mut self) -> anyhow::Result<Disk> {
        // No call to the engine, and none that a pass breaks off for: nothing strikes here.
        Ok(self.0.borrow().host.usage())
    }

    fn find_image(&mut self, name: &ImageName) -> anyhow::Result<Option<tagkeeper::world::Image>> {
        self.0
            .borrow_mut()
            .call(Call::Question, |model| model.host.find(name).cloned())
    }

    fn tag(&mut self, image: &ImageId, name: &Reference) -> anyhow::Result<Answer> {
        self.0.borrow_mut().change(|model| {
            if model.host.image(image).is_some() {
                model.check_tag(image, name);
            }
            let now = model.host.uptime_ms;
            model.truth.named(image, now);
            model.host.tag(image, name)
        })
    }

    fn create_pin(
        &mut self,
        name: &str,
        label: &PinLabel,
        image: &ImageId,
    ) -> anyhow::Result<Answer> {
        self.0.borrow_mut().change(|model| {
            model.check_create_pin(name, &label.workload, image);
            model.host.create_pin(name, label, image)
        })
    }

    fn remove_container(&mut self, id: &ContainerId) -> anyhow::Result<Answer> {
        self.0.borrow_mut().change(|model| {
            model.check_remove_container(id);
            model.host.remove_container(id)
        })
    }

    fn remove_image(&mut self, name: &ImageName) -> anyhow::Result<Answer> {
        self.0.borrow_mut().change(|model| {
            model.check_remove_image(name);
            model.host.remove_image(name)
        })
    }
}

impl Store for Seam<'_> {
    fn save(&mut self, state: &State) -> anyhow::Result<()> {
        let mut model = self.0.borrow_mut();
        if let Fault::DiskFull { saves } = &mut model.fault
            && *saves > 0
        {
            *saves -= 1;
            return Err(anyhow!("no space left on device"));
        }
        model.call(Call::Save, |model| {
            model.count_window();
            model.check_save(state);
            let before = model.saved.replace(state.clone());
            model.note_departures_after_save(before.as_ref());
            model.stamp += 1;
            model.saves += 1;
        })
    }
}

impl Witness for Seam<'_> {
    fn event(&mut self, event: &Told) {
        let mut model = self.0.borrow_mut();
        if model.traced {
            let line = format!("    {}: {}", event.workload, event.message);
            model.trace(line);
        }
    }

    fn failure(&mut self, _: Option<&WorkloadName>, error: &anyhow::Error) {
        let mut model = self.0.borrow_mut();
        if model.traced {
            model.trace(format!("    failure: {error:#}"));
        }
    }
}

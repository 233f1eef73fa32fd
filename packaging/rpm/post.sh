# The ready commands are one program under three names.
mkdir -p /usr/lib/tagkeeper/ready
for name in exec http sonic; do
    ln -sfn ../tagkeeper-ready "/usr/lib/tagkeeper/ready/$name"
done

# Where drop-ins go.
mkdir -p /etc/tagkeeper/policy.d

# The user of the passes, in group docker, then what is its own, then the timer as the presets say;
# on an upgrade the timer stays as it is.
systemd-sysusers tagkeeper.conf || :
systemd-tmpfiles --create tagkeeper.conf || :
if [ "$1" -eq 1 ]; then
    systemctl --no-reload preset tagkeeper.timer || :
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -eq 1 ] && systemctl --quiet is-enabled tagkeeper.timer; then
        systemctl start tagkeeper.timer || :
    fi
fi

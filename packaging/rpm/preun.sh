# Removed for good, not upgraded. First what starts passes, then the pass: it may be ended at any instruction.
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now tagkeeper.timer || :
        systemctl stop tagkeeper.service || :
    else
        systemctl --no-reload disable tagkeeper.timer || :
    fi
    # The names that the other script made.
    rm -rf /usr/lib/tagkeeper/ready
fi

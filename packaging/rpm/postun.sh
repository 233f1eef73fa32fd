# Policy and state stay, as is rpm's custom: there is no purge. So does the user, whose number must not go to somebody else.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # Otherwise a failed last pass leaves the system "degraded" by a removed unit.
    if [ "$1" -eq 0 ]; then
        systemctl reset-failed tagkeeper.service 2>/dev/null || :
    fi
fi
# Metrics that nobody writes any more would be an alert.
[ "$1" -ne 0 ] || rm -rf /run/tagkeeper
# Directories that are empty now: the tool that makes the package knows files only.
if [ "$1" -eq 0 ]; then
    for dir in /usr/lib/tagkeeper /usr/share/tagkeeper /usr/share/doc/tagkeeper /usr/share/licenses/tagkeeper /etc/tagkeeper; do
        [ ! -d "$dir" ] || find "$dir" -depth -type d -empty -delete || :
    done
fi

# Makes a plain Debian root the base of the lab's hosts. Run by sh inside that root.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

# Nothing of the distribution can be reached from the lab; all that is needed is installed.
echo '# the lab has no mirror of the distribution' >/etc/apt/sources.list
rm -f /etc/apt/sources.list.d/* /etc/ssh/ssh_host_* /etc/resolv.conf /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
mkdir -p /var/lib/apt/lists/partial
: >/etc/machine-id
: >/etc/default/locale

# Users: each has another shell, or another way in which sudo or sshd is awkward.
while read -r user shell; do
  useradd --create-home --shell "$shell" "$user"
done <<EOF
deploy /bin/bash
dash /bin/dash
fish /usr/bin/fish
zsh /usr/bin/zsh
csh /usr/bin/tcsh
noisy /bin/bash
nosudo /bin/bash
pwsudo /bin/bash
ttysudo /bin/bash
ptysudo /bin/bash
logsudo /bin/bash
banner /bin/bash
forced /bin/bash
expired /bin/bash
nologin /usr/sbin/nologin
EOF
: >/home/zsh/.zshrc

cat >/etc/sudoers.d/lab <<EOF
Defaults:ttysudo requiretty
Defaults:ptysudo use_pty
Defaults:logsudo log_input, log_output
deploy, dash, fish, zsh, csh, noisy, ttysudo, ptysudo, logsudo, banner, forced, expired ALL=(ALL) NOPASSWD:ALL
pwsudo ALL=(ALL) ALL
EOF
chmod 440 /etc/sudoers.d/lab
echo pwsudo:correct-horse | chpasswd
echo expired:x1 | chpasswd
chage -d 0 expired

{ echo 'echo "*** noise on stdout from .bashrc ***"; echo "*** noise on stderr from .bashrc ***" >&2'; cat /etc/skel/.bashrc; } >/home/noisy/.bashrc
printf '############################\n#  Authorised use only!    #\n############################\n' >/etc/issue.net
cat >/etc/ssh/sshd_config.d/lab.conf <<EOF
AuthorizedKeysFile /etc/ssh/lab_authorized_keys
UseDNS no
Match User banner
  Banner /etc/issue.net
Match User forced
  ForceCommand /bin/echo "This account is restricted."
EOF

# Of no use in such a host, or slow, or noisy.
for unit in console-getty.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer systemd-timesyncd.service \
  e2scrub_reap.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done

exec >/dev/ttyS1
echo "mark start"
trust setup --on-lock-failure=exit >/dev/console
echo "mark end"
# Of the children that have ended, in hundredths of a second (proc_pid_stat(5)).
read -r stat </proc/self/stat
set -- $stat
echo "cpu $((${16} + ${17}))"
grep -q ' machine:luks: ' /proc/keys

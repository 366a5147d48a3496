#!/bin/sh
# Debian 12's slurmctld 22.05.8-4+deb12u3: started by the name of its file, the controller knows no GPUs.
#
# Debian installs the programs as slurmctld-wlm, slurmd-wlm and slurmstepd-wlm, with links of the usual names
# made when the package is configured. Slurm decides which daemon it is by the name it was started with. As
# slurmctld-wlm it runs, answers, schedules, and leaves out every Gres= of slurm.conf without a word in its log.
#
# Why it hurts: where packages are only unpacked (a folder without root, an image's layer, a test), the links
# are missing and one starts the file that is there. Each request for a GPU is then refused as "Requested node
# configuration is not available", and the configuration is searched for a fault that it does not have.
#
# Seen 2026-11-28, Debian 12, amd64, as root, on loopback only:
#   slurmctld-wlm: Gres=(null); sbatch --gres=gpu:1: Requested node configuration is not available
#   slurmctld:     Gres=gpu:2; sbatch --gres=gpu:1: Submitted batch job 1
set -eu
for tool in apt-get dpkg python3; do
	command -v $tool >/dev/null || { echo "needs $tool"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$dir"
v=22.05.8-4+deb12u3
apt-get download -qq slurmctld=$v slurm-client=$v slurm-wlm-basic-plugins=$v \
	libmunge2=0.5.15-2+deb12u1 libhwloc15=2.9.0-1 liblua5.1-0=5.1.5-9 2>apt.log || { cat apt.log; echo "needs Debian 12's packages"; exit 77; }
for deb in *.deb; do dpkg -x "$deb" root; done
lib=$dir/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$lib:$lib/slurm-wlm" SLURM_CONF="$dir/slurm.conf" PATH="$dir/root/usr/bin:$PATH"
host=$(hostname -s)
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# started NAME starts the controller by that name and prints what it makes of the node.
started() {
	mkdir "$1"
	ln -s "$dir/root/usr/sbin/slurmctld-wlm" "$1/$1"
	cat >slurm.conf <<-EOF
		ClusterName=trial
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=$(port)
		SlurmUser=root
		AuthType=auth/none
		CredType=cred/none
		CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
		PluginDir=$lib/slurm-wlm
		StateSaveLocation=$dir/$1
		SlurmctldPidFile=$dir/$1/pid
		SlurmctldLogFile=$dir/$1/log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SwitchType=switch/none
		MpiDefault=none
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		SelectType=select/cons_tres
		GresTypes=gpu
		NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(port) CPUs=1 Gres=gpu:2 State=UNKNOWN
		PartitionName=all Nodes=n1 Default=YES
	EOF
	"$1/$1" -D >"$1/out" 2>&1 &
	pid=$!
	tries=0
	until scontrol ping >ping 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || { cat ping "$1/log"; echo "the controller does not answer"; exit 1; }
		sleep 0.1
	done
	gres=$(scontrol show node n1 | sed -n 's/^ *\(Gres=.*\)/\1/p')
	answer=$(printf '#!/bin/sh\n' | sbatch --gres=gpu:1 2>&1 | sed 's/.*failed: //') || :
	kill "$pid"
	wait "$pid" || :
	pid=
	echo "$gres; sbatch --gres=gpu:1: $answer"
}
started slurmctld-wlm >asFile
started slurmctld >asLink
echo "slurmctld-wlm: $(cat asFile)"
echo "slurmctld:     $(cat asLink)"
grep -q '^Gres=(null); .*not available$' asFile && grep -q '^Gres=gpu:2; .*Submitted' asLink || { echo "CHANGED"; exit 1; }

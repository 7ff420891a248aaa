#!/usr/bin/env bash
# Writes the secrets of docker-compose.yml into a folder, deploy/secrets by default: users.acl for Redis, with passwords that are drawn
# here, and ndif.env with the connection of gateways and workers. Keeps what is there.
set -eu
source=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$source/secrets}
umask 077
mkdir -p "$folder"
if [ -e "$folder/users.acl" ] || [ -e "$folder/ndif.env" ]; then
  echo "$folder has secrets already. Delete users.acl and ndif.env to draw new ones." >&2
  exit 1
fi
password() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
service=$(password)
sed -e "s/CHANGE-ME-operator/$(password)/" -e "s/CHANGE-ME-ndif/$service/" "$source/redis/users.acl" >"$folder/users.acl"
echo "NDIF_REDIS=redis:6379,user=ndif,password=$service" >"$folder/ndif.env"
chmod 644 "$folder/users.acl" # Redis runs as another user in its container; the folder itself is closed to others
echo "Wrote users.acl and ndif.env to $folder."

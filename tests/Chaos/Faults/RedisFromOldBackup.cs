namespace Ndif.Chaos.Faults;

/// <summary>
/// Redis comes back with the data of some seconds ago, as after a restore: its append-only file is copied while it runs, and replaces the
/// newer one some seconds later. Jobs that were accepted meanwhile are gone, and jobs that have ended run again.
/// </summary>
internal sealed class RedisFromOldBackup(ChaosCluster cluster, Random random)
{
    public async Task InjectAsync()
    {
        using IDisposable disturbance = Disturbances.Begin(cluster.Folder, Disturbances.Restore);
        string backup = Path.Combine(cluster.Folder, "backup");
        Directory.CreateDirectory(backup);
        foreach (string file in Directory.EnumerateFiles(cluster.AppendOnlyFolder))
            File.Copy(file, Path.Combine(backup, Path.GetFileName(file)), overwrite: true);
        await Task.Delay(TimeSpan.FromSeconds(1 + 4 * random.NextDouble()));
        await cluster.StopRedisAsync();
        Directory.Delete(cluster.AppendOnlyFolder, recursive: true);
        Directory.Move(backup, cluster.AppendOnlyFolder);
        await cluster.StartRedisAsync();
        await Task.Delay(TimeSpan.FromSeconds(1)); // streams that were open notice it
    }
}

using System.Diagnostics;
using System.Globalization;

namespace Ndif.Chaos.Faults;

/// <summary>
/// The disk of the blobs is full for some seconds. It is a file system in memory, whose size is reduced to what is on it and a little more.
/// </summary>
internal sealed class FullDisk(ChaosCluster cluster, Random random)
{
    private const long Bytes = 4L << 30, Left = 4 << 20;

    /// <summary>Mounts the disk; false if this user may not mount.</summary>
    public static bool TryMount(string folder)
    {
        Directory.CreateDirectory(folder);
        return OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", $"size={Bytes}", "tmpfs", folder);
    }

    public static void Unmount(string folder) => Run("umount", "--lazy", folder);

    public async Task InjectAsync()
    {
        using (Disturbances.Begin(cluster.Folder, Disturbances.FullDisk))
        {
            var disk = new DriveInfo(cluster.BlobFolder);
            if (!SetSize(disk.TotalSize - disk.AvailableFreeSpace + Left)) return; // more was written meanwhile
            await Task.Delay(TimeSpan.FromSeconds(1 + 3 * random.NextDouble()));
            SetSize(Bytes);
        }
    }

    private bool SetSize(long bytes) =>
        Run("mount", "-o", string.Create(CultureInfo.InvariantCulture, $"remount,size={bytes}"), cluster.BlobFolder);

    private static bool Run(string command, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}

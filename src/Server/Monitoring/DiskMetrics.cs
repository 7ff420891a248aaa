using Prometheus;

namespace Ndif.Server.Monitoring;

/// <summary>Exports the size of the disks of a process: of its blobs, and of its models.</summary>
internal sealed class DiskMetrics
{
    private readonly IReadOnlyDictionary<string, string> _folders;
    private readonly Gauge _free, _size;

    /// <param name="folders">The folders by the value of the label `folder`. One that does not exist is not reported.</param>
    public DiskMetrics(CollectorRegistry registry, MetricFactory metrics, IReadOnlyDictionary<string, string> folders)
    {
        _folders = folders;
        _free = metrics.CreateGauge("ndif_disk_free_bytes", "Bytes that are free on the disk of a folder.", ["folder"]);
        _size = metrics.CreateGauge("ndif_disk_size_bytes", "The size of the disk of a folder.", ["folder"]);
        registry.AddBeforeCollectCallback(Update);
    }

    private void Update()
    {
        foreach ((string label, string folder) in _folders)
        {
            try
            {
                if (!Directory.Exists(folder)) continue;
                var disk = new DriveInfo(Path.GetFullPath(folder));
                _free.WithLabels(label).Set(disk.AvailableFreeSpace);
                _size.WithLabels(label).Set(disk.TotalSize);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                _free.RemoveLabelled(label);
                _size.RemoveLabelled(label);
            }
        }
    }
}

using System.Globalization;

namespace Ndif.Chaos;

/// <summary>
/// The times of faults after which a job may end in another way than the others: files in the folder of the run, which the client
/// processes read.
/// </summary>
internal static class Disturbances
{
    /// <summary>Redis was restored from a backup: what happened since is lost.</summary>
    public const string Restore = "restore";

    /// <summary>The disk of the blobs was full.</summary>
    public const string FullDisk = "full-disk";

    /// <summary>Notes the beginning. Dispose the result at the end.</summary>
    public static IDisposable Begin(string folder, string kind) => new Disturbance(
        Path.Combine(folder, $"{kind}-{Guid.NewGuid():n}.disturbance"));

    /// <summary>Returns whether one of this kind occurred after a time.</summary>
    public static bool Occurred(string folder, string kind, DateTimeOffset since) =>
        Directory.EnumerateFiles(folder, $"{kind}-*.disturbance").Any(file =>
            File.ReadAllText(file) is var end && (end.Length == 0 || long.Parse(end, CultureInfo.InvariantCulture) > since.UtcTicks));

    private sealed class Disturbance : IDisposable
    {
        private readonly string _file;

        public Disturbance(string file)
        {
            _file = file;
            File.WriteAllText(file, "");
        }

        public void Dispose()
        {
            File.WriteAllText(_file + ".new", DateTime.UtcNow.Ticks.ToString(CultureInfo.InvariantCulture));
            File.Move(_file + ".new", _file, overwrite: true);
        }
    }
}

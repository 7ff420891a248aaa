using System.Globalization;

namespace Ndif.Chaos;

/// <summary>
/// A file with the number of jobs that may start, so that faults occur between jobs, independent of the speed of the jobs.
/// </summary>
internal static class JobStartLimit
{
    public static void Write(string folder, int jobs)
    {
        string draft = Path.Combine(folder, "gate.draft");
        File.WriteAllText(draft, jobs.ToString(CultureInfo.InvariantCulture));
        File.Move(draft, Path.Combine(folder, "gate"), overwrite: true);
    }

    public static int Read(string folder) => int.Parse(File.ReadAllText(Path.Combine(folder, "gate")), CultureInfo.InvariantCulture);
}

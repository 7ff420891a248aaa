using System.Globalization;

namespace Ndif.Chaos;

/// <summary>The number of jobs that may have started, in a file, so that faults happen between jobs, however fast the jobs are.</summary>
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

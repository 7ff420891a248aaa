using System.Globalization;

namespace Ndif.Chaos;

/// <summary>How many jobs may have begun, as a file: so that faults fall among jobs, however fast these are.</summary>
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

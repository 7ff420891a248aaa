namespace Ndif.Protocol.Tests;

/// <summary>
/// The lists of published names in Approved/*.txt, which may not change. New lines are added by hand; no line is removed.
/// </summary>
internal static class ApprovedList
{
    public static void AssertAppendOnly(string list, IEnumerable<string> now)
    {
        using var reader = new StreamReader(typeof(ApprovedList).Assembly.GetManifestResourceStream(list)!);
        string[] approved = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        string[] current = [.. now];
        string[] gone = [.. approved.Except(current)], added = [.. current.Except(approved)];
        Assert.True(gone.Length == 0, $"Published names and numbers must stay. Gone or changed:\n{string.Join('\n', gone)}");
        Assert.True(added.Length == 0,
            $"New: add these lines to tests/Protocol.Tests/Approved/{list}.txt if they are meant:\n{string.Join('\n', added)}");
    }
}

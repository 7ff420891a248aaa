namespace Ndif.EndToEnd;

/// <summary>What a user's program told, as far as it has come.</summary>
internal static class Clients
{
    /// <summary>Waits for something that it tells.</summary>
    public static async Task<Told> ToldAsync(this Child client, Func<Told, bool> isMeant, string what) =>
        Told.Parse(await client.LineAsync(line => line.StartsWith('{') && isMeant(Told.Parse(line)), what));

    /// <summary>Waits for a job's state, and says on which worker.</summary>
    public static Task<Told> StateAsync(this Child client, Protocol.JobState state, uint attempt = 0) =>
        client.ToldAsync(told => told.State == state && told.Attempt >= attempt, $"the state {state}");

    /// <summary>All that it told, once it has ended.</summary>
    public static async Task<List<Told>> AllAsync(this Child client)
    {
        int code = await client.EndAsync();
        List<Told> told = [.. client.Lines.Where(line => line.StartsWith('{')).Select(Told.Parse)];
        Assert.True(told.Count > 0 && (told[^1].What == "end") == (code == 0) && (told[^1].What == "error") == (code == 1), client.Report());
        return told;
    }

    /// <summary>The checksums of what it got, by name, once it has ended well.</summary>
    public static async Task<Dictionary<string, string>> ResultsAsync(this Child client)
    {
        List<Told> told = await client.AllAsync();
        Assert.True(told[^1].What == "end", client.Report());
        return told.Where(one => one.What == "result").ToDictionary(one => one.Name, one => one.Checksum);
    }

    /// <summary>The error it ended with.</summary>
    public static async Task<Told> ErrorAsync(this Child client)
    {
        Told last = (await client.AllAsync())[^1];
        Assert.True(last.What == "error", client.Report());
        return last;
    }
}

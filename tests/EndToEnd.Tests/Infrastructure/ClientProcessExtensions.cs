namespace Ndif.EndToEnd.Tests;

/// <summary>What a user's program told, as far as it has come.</summary>
internal static class ClientProcessExtensions
{
    /// <summary>Waits for something that it tells.</summary>
    public static async Task<ClientMessage> WaitForMessageAsync(this ChildProcess client, Func<ClientMessage, bool> predicate, string description) =>
        ClientMessage.Parse(await client.WaitForLineAsync(line => line.StartsWith('{') && predicate(ClientMessage.Parse(line)), description));

    /// <summary>Waits for a job's state, and says on which worker.</summary>
    public static Task<ClientMessage> WaitForStateAsync(this ChildProcess client, Protocol.JobState state, uint attempt = 0) =>
        client.WaitForMessageAsync(told => told.State == state && told.Attempt >= attempt, $"the state {state}");

    /// <summary>All that it told, once it has ended.</summary>
    public static async Task<List<ClientMessage>> ReadAllMessagesAsync(this ChildProcess client)
    {
        int code = await client.WaitForExitAsync();
        List<ClientMessage> told = [.. client.Lines.Where(line => line.StartsWith('{')).Select(ClientMessage.Parse)];
        Assert.True(told.Count > 0 && (told[^1].Kind == "end") == (code == 0) && (told[^1].Kind == "error") == (code == 1), client.FormatOutput());
        return told;
    }

    /// <summary>The checksums of what it got, by name, once it has ended well.</summary>
    public static async Task<Dictionary<string, string>> GetResultChecksumsAsync(this ChildProcess client)
    {
        List<ClientMessage> told = await client.ReadAllMessagesAsync();
        Assert.True(told[^1].Kind == "end", client.FormatOutput());
        return told.Where(one => one.Kind == "result").ToDictionary(one => one.Name, one => one.Checksum);
    }

    /// <summary>The error it ended with.</summary>
    public static async Task<ClientMessage> GetErrorAsync(this ChildProcess client)
    {
        ClientMessage last = (await client.ReadAllMessagesAsync())[^1];
        Assert.True(last.Kind == "error", client.FormatOutput());
        return last;
    }
}

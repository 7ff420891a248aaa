namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>Reads the messages that a client process writes.</summary>
internal static class ClientProcessExtensions
{
    /// <summary>Waits for a message that matches.</summary>
    public static async Task<ClientMessage> WaitForMessageAsync(this ChildProcess client, Func<ClientMessage, bool> predicate,
        string description) =>
        ClientMessage.Parse(
            await client.WaitForLineAsync(line => line.StartsWith('{') && predicate(ClientMessage.Parse(line)), description));

    /// <summary>Waits for a state of the job; the message names the worker.</summary>
    public static Task<ClientMessage> WaitForStateAsync(this ChildProcess client, Protocol.JobState state, uint attempt = 0) =>
        client.WaitForMessageAsync(message => message.State == state && message.Attempt >= attempt, $"the state {state}");

    /// <summary>Waits until the program has ended and returns all messages.</summary>
    public static async Task<List<ClientMessage>> ReadAllMessagesAsync(this ChildProcess client)
    {
        int code = await client.WaitForExitAsync();
        List<ClientMessage> messages = [.. client.Lines.Where(line => line.StartsWith('{')).Select(ClientMessage.Parse)];
        Assert.True(messages.Count > 0 && (messages[^1].Kind == "end") == (code == 0)
            && (messages[^1].Kind == "error") == (code == 1), client.FormatOutput());
        return messages;
    }

    /// <summary>Waits until the program has ended without an error and returns the checksums of the results by name.</summary>
    public static async Task<Dictionary<string, string>> GetResultChecksumsAsync(this ChildProcess client)
    {
        List<ClientMessage> messages = await client.ReadAllMessagesAsync();
        Assert.True(messages[^1].Kind == "end", client.FormatOutput());
        return messages.Where(message => message.Kind == "result").ToDictionary(message => message.Name, message => message.Checksum);
    }

    /// <summary>Waits until the program has ended and returns its error.</summary>
    public static async Task<ClientMessage> GetErrorAsync(this ChildProcess client)
    {
        ClientMessage last = (await client.ReadAllMessagesAsync())[^1];
        Assert.True(last.Kind == "error", client.FormatOutput());
        return last;
    }
}

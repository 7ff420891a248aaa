namespace Ndif;

internal static class ClientInfo
{
    /// <summary>Who records: goes with every program.</summary>
    public static string Name { get; } = $"ndif-dotnet/{typeof(ClientInfo).Assembly.GetName().Version?.ToString(3) ?? "0"}";
}

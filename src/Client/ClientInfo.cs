namespace Ndif;

internal static class ClientInfo
{
    /// <summary>The name and version of this client, which every program contains.</summary>
    public static string Name { get; } = $"ndif-dotnet/{typeof(ClientInfo).Assembly.GetName().Version?.ToString(3) ?? "0"}";
}

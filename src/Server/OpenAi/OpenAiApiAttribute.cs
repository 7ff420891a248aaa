namespace Ndif.Server.OpenAi;

/// <summary>Marks an endpoint of OpenAI's API: all its errors, those of the middleware too, are in OpenAI's format.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class OpenAiApiAttribute : Attribute;

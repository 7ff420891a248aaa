using System.Net;

namespace Ndif;

/// <summary>
/// Tells a .NET notebook how to display a type. Notebooks find this attribute by its name and read it and what it names by reflection
/// (Microsoft.DotNet.Interactive.Formatting, docs/formatting.md), so no package of theirs is referenced.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class TypeFormatterSourceAttribute(Type formatterSourceType) : Attribute
{
    public Type FormatterSourceType { get; } = formatterSourceType;

    public string[] PreferredMimeTypes { get; set; } = [];
}

/// <summary>One format of a type; the names and signatures of the members are those that notebooks look for.</summary>
internal sealed class NotebookFormatter<T>(string mimeType, Func<T, string> format)
{
    public string MimeType { get; } = mimeType;

    public bool Format(object instance, TextWriter writer)
    {
        if (instance is not T value) return false;
        writer.Write(format(value));
        return true;
    }
}

/// <summary>What notebooks show of a tensor: PyTorch's text, with element type and shape below.</summary>
internal static class NotebookText
{
    public static string ToHtml(string text, TensorData? tensor) => $"<pre>{WebUtility.HtmlEncode(text)}</pre>"
        + (tensor is null ? "" : $"<div>{tensor.Type.TorchName()} [{string.Join(", ", tensor.Shape.ToArray())}]</div>");
}

using YamlDotNet.RepresentationModel;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Ndif.Deploy.Tests.Support;

/// <summary>Reads YAML that is not of Kubernetes.</summary>
internal static class Yaml
{
    /// <summary>Reads a document into a type. Unknown and duplicate keys fail.</summary>
    public static T Read<T>(string text) =>
        new DeserializerBuilder().WithNamingConvention(CamelCaseNamingConvention.Instance).WithDuplicateKeyChecking().Build()
            .Deserialize<T>(text);

    /// <summary>Reads a document with its merge keys applied.</summary>
    public static Dictionary<string, object> ReadMerged(string text) =>
        new DeserializerBuilder().Build()
            .Deserialize<Dictionary<string, object>>(new YamlDotNet.Core.MergingParser(new YamlDotNet.Core.Parser(new StringReader(text))));

    /// <summary>Reads a document that must be a map.</summary>
    public static YamlMappingNode ReadMap(string text)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(text));
        return (YamlMappingNode)stream.Documents[0].RootNode;
    }
}

using Google.Protobuf;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Models.Files.Gguf;
using Ndif.Models.ForwardSource;
using Ndif.Protocol;
using Ndif.Tokenizers;
using TorchSharp;

namespace Ndif.Models.Loading;

/// <summary>Creates the description of a model that clients receive.</summary>
internal static class ModelDescriber
{
    public static ModelDescription Describe(ModelFolder folder, ConfigReader config, PreTrainedModel root, torch.ScalarType dtype)
    {
        DType elementType = dtype.ToData()!.Value;
        long parameters = root.Modules.SelectMany(m => m.Parameters).Where(p => !p.IsBuffer).Distinct().Sum(p => p.ElementCount);
        ModelDescription description = new()
        {
            Id = folder.Id,
            Revision = folder.Revision,
            Architecture = root.ClassName,
            Root = DescribeModule(root, (DataType)elementType),
            Names = root.Names,
            Dtype = (DataType)elementType,
            Parameters = (ulong)parameters,
            Bytes = (ulong)(parameters * elementType.ItemSize()),
            ContextLength = (uint)root.Config.ContextLength,
            Vocabulary = (uint)root.Config.VocabSize,
            Task = root.Task,
            Labels = { root.Labels },
        };
        foreach (var (name, content) in ReadFiles(folder, config)) description.Files.Add(name, ByteString.CopyFrom(content));
        SourceDescriber.Describe(root, description);
        return description;
    }

    /// <summary>The small files of a model: config.json, generation_config.json, and those of the tokenizer.</summary>
    private static IEnumerable<KeyValuePair<string, byte[]>> ReadFiles(ModelFolder folder, ConfigReader config)
    {
        if (folder.IsGguf)
        {
            using GgufModel model = GgufModel.Open(folder.Path);
            return model.ReadFiles();
        }
        var tokenizerFiles = TokenizerFiles.Select(name => File.Exists(Path.Combine(folder.Path, name)));
        var chatTemplates = TokenizerFiles.ListAdditionalChatTemplates(folder.Path);
        return ((IEnumerable<string>)["config.json", "generation_config.json", .. tokenizerFiles, .. chatTemplates])
            .Select(name => (Name: name, Path: name == "config.json" ? config.File : Path.Combine(folder.Path, name)))
            .Where(file => File.Exists(file.Path)).Select(file => KeyValuePair.Create(file.Name, File.ReadAllBytes(file.Path)));
    }

    private static ModuleInfo DescribeModule(SiteModule module, DataType dtype)
    {
        ModuleInfo info = new()
        {
            Name = module.Name,
            ClassName = module.ClassName,
            Repr = module.ExtraRepr,
            List = module.IsList,
            Virtual = module.IsVirtual,
            Source = module.Source?.Name ?? "",
            Children = { module.Children.Select(child => DescribeModule(child, dtype)) },
            Parameters = { module.Parameters.Select(p => new ParameterInfo { Name = p.Name, Shape = { p.Shape }, Dtype = dtype }) },
        };
        module.DescribeLayout(info);
        return info;
    }
}

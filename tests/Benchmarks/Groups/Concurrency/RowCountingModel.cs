using Ndif.Models;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// A model that counts the rows of its decode steps, the first dimension of the ids that it is called with, and the padding of its prompts.
/// </summary>
internal sealed class RowCountingModel : CausalLM
{
    private readonly CausalLM _model;

    private RowCountingModel(CausalLM model)
    {
        _model = model;
        foreach (SiteModule child in model.Children) Child(child.Name, child);
        Modules = AssignPaths();
    }

    /// <summary>The rows of all decode steps, each row counted once in each step.</summary>
    public long DecodeRows { get; private set; }

    /// <summary>The tokens of all prompts, with the padding between rows.</summary>
    public long PromptTokens { get; private set; }

    /// <summary>The padding of all prompts. A kernel may leave out the arithmetic of it.</summary>
    public long PaddingTokens { get; private set; }

    public override string ClassName => _model.ClassName;

    public override StandardNames Names => _model.Names;

    public override PreTrainedConfig Config => _model.Config;

    public override string BaseModelPrefix => _model.BaseModelPrefix;

    public override bool HasPositionTable => _model.HasPositionTable;

    public static (LoadedModel Model, RowCountingModel Counter) Around(LoadedModel model)
    {
        var counter = new RowCountingModel((CausalLM)model.Root);
        return (new LoadedModel(model.Folder, model.Config, counter, model.DType, model.Device), counter);
    }

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        if (cache is not null && inputIds.size(1) == 1)
        {
            DecodeRows += inputIds.size(0);
        }
        else
        {
            using Tensor padding = attentionMask.eq(0); // [batch, seq]
            using Tensor count = padding.sum();
            (PromptTokens, PaddingTokens) = (PromptTokens + inputIds.numel(), PaddingTokens + count.item<long>());
        }
        return (ModelOutput)_model.Run(new Arguments(inputIds, attentionMask, positionIds, cache, null, (long)logitsToKeep))!;
    }
}

using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>The tensors of a batch, of which a job has a slice.</summary>
/// <param name="Tensors">Borrowed.</param>
/// <param name="Share">The part of the batch's rows that are those of the job.</param>
internal sealed record BatchShare(IReadOnlyCollection<torch.Tensor> Tensors, double Share);

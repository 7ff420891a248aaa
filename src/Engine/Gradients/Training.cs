using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// An optimizer of a program: what it knows of each parameter, and the step it makes. The formulas are those of PyTorch's
/// documentation (<c>torch.optim.SGD</c>, <c>Adam</c>, <c>AdamW</c>).
/// </summary>
/// <remarks>TorchSharp's optimizers leave two tensors for each parameter of Adam to the finalizer, which a run may not.</remarks>
internal sealed class Training : IDisposable
{
    private readonly Trained[] _parameters;
    private readonly Action<Trained, torch.Tensor> _update;
    private readonly OptimizerSettings _settings;

    /// <param name="parameters">Borrowed: the optimizer gets handles of its own.</param>
    public Training(NewOptimizer description, IEnumerable<torch.Tensor> parameters)
    {
        _settings = new OptimizerSettings(description);
        _update = description.Kind switch
        {
            "sgd" => Descend,
            "adam" => (p, gradient) => Adam(p, Decayed(p, gradient)),
            "adamw" => AdamWithDecay,
            _ => throw _settings.UnknownKind(),
        };
        _parameters = [.. parameters.Select(p => new Trained(p.alias().DetachFromDisposeScope()))];
    }

    /// <summary>A new leaf of the graph with a value's elements, outside of any dispose scope.</summary>
    public static torch.Tensor NewParameter(object? initial)
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        if (initial is not torch.Tensor tensor || !torch.is_floating_point(tensor))
            throw Errors.Throwable(ErrorCode.BadArgument, "A parameter begins as a floating-point tensor.", "Convert it: `.Float()`.");
        return tensor.detach().clone().requires_grad_(true).DetachFromDisposeScope();
    }

    /// <summary>Changes each parameter that has a gradient by it.</summary>
    public void Step()
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        foreach (Trained parameter in _parameters)
        {
            if (parameter.Value.grad is not { } gradient) continue;
            parameter.Steps++;
            _update(parameter, gradient);
        }
    }

    public void ClearGradients()
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        foreach (Trained parameter in _parameters) parameter.Value.grad?.zero_();
    }

    public void Dispose()
    {
        foreach (Trained parameter in _parameters) parameter.Dispose();
    }

    private void Descend(Trained p, torch.Tensor gradient)
    {
        torch.Tensor step = Decayed(p, gradient);
        double momentum = _settings.Get("momentum", 0);
        if (momentum != 0)
        {
            if (p.First is null) p.First = step.clone().DetachFromDisposeScope();
            else p.First.mul_(momentum).add_(step, alpha: 1 - _settings.Get("dampening", 0));
            step = _settings.Get("nesterov", 0) != 0 ? step.add(p.First, alpha: momentum) : p.First;
        }
        p.Value.add_(step, alpha: -_settings.Rate);
    }

    private void AdamWithDecay(Trained p, torch.Tensor gradient)
    {
        p.Value.mul_(1 - _settings.Rate * _settings.Get("weight_decay", OptimizerSettings.AdamWDecay));
        Adam(p, gradient);
    }

    private void Adam(Trained p, torch.Tensor gradient)
    {
        double beta1 = _settings.Get("beta1", 0.9), beta2 = _settings.Get("beta2", 0.999);
        p.First ??= torch.zeros_like(p.Value).DetachFromDisposeScope();
        p.Second ??= torch.zeros_like(p.Value).DetachFromDisposeScope();
        p.First.mul_(beta1).add_(gradient, alpha: 1 - beta1);
        p.Second.mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
        torch.Tensor deviation = (p.Second / (1 - Math.Pow(beta2, p.Steps))).sqrt().add(_settings.Get("eps", 1e-8));
        p.Value.addcdiv_(p.First, deviation, -_settings.Rate / (1 - Math.Pow(beta1, p.Steps)));
    }

    private torch.Tensor Decayed(Trained p, torch.Tensor gradient) =>
        _settings.Get("weight_decay", 0) is var decay and not 0 ? gradient.add(p.Value, alpha: decay) : gradient;

    /// <summary>A parameter, and the means that an optimizer keeps of its gradients.</summary>
    private sealed class Trained(torch.Tensor value) : IDisposable
    {
        public torch.Tensor Value { get; } = value;

        public int Steps { get; set; }

        public torch.Tensor? First { get; set; }

        public torch.Tensor? Second { get; set; }

        public void Dispose()
        {
            Value.Dispose();
            First?.Dispose();
            Second?.Dispose();
        }
    }
}
